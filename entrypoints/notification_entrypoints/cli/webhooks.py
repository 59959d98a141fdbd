"""``webhooks``: list, create, show, change and delete what an environment subscribed."""

from collections.abc import Callable, Mapping
from uuid import UUID

import click
import msgspec

from notification_core.model.custom_headers import MASK
from notification_entrypoints.cli.attempts import print_attempt
from notification_entrypoints.cli.client import Api, ApiClient, api_option, ask
from notification_entrypoints.cli.completion import complete_event_type
from notification_entrypoints.cli.filters import filter_option, try_filter
from notification_entrypoints.cli.groups import Commands
from notification_entrypoints.cli.ids import environment_option, webhook_id_argument
from notification_entrypoints.cli.logs import AttemptView
from notification_entrypoints.cli.options import examples, time_to_come
from notification_entrypoints.cli.replays import replay
from notification_entrypoints.cli.retries import rate_limit_option, retry_options
from notification_entrypoints.cli.signing_secrets import signing_secrets
from notification_entrypoints.cli.terminal import (
    asynchronous,
    confirm,
    json_option,
    list_option,
    output,
    print_raw_json,
    run,
    show_object,
    show_table,
)
from notification_entrypoints.cli.webhook_states import ListedWebhook, events_of, state_of
from notification_entrypoints.commands.exit_codes import CommandFailed

_METHODS = ("get", "post", "put", "patch", "delete")
_FOREVER = "9999-12-31T23:59:59Z"

_Fields = dict[str, object]
_Change = Callable[[_Fields], Mapping[str, object]]


class _EventType(msgspec.Struct):
    name: str


def _header(
    _context: click.Context, _parameter: click.Parameter, lines: tuple[str, ...]
) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name.strip():
            raise click.BadParameter("Give a header as 'Name: value'.")
        headers[name.strip()] = value.strip()
    return headers


_environment = environment_option("Whose webhooks")
_webhook_id = webhook_id_argument()
_events = click.option(
    "--event",
    "events",
    multiple=True,
    metavar="TYPE",
    shell_complete=complete_event_type,
    help="An event type (repeatable).",
)
_headers = click.option(
    "--header",
    "headers",
    multiple=True,
    callback=_header,
    metavar="'NAME: VALUE'",
    help="A header to send with each request (repeatable).",
)
_description = click.option("--description", help="What it is for.")


@click.group("webhooks", cls=Commands)
def command() -> None:
    """Create, show, change and delete the webhooks of an environment."""


for subcommand in (replay, try_filter, signing_secrets):
    command.add_command(subcommand)


@command.command(
    "list",
    epilog=examples(
        "webhooks list --environment ID",
        "webhooks list --environment ID --json | jq -r .url",
    ),
)
@_environment
@list_option
@api_option
def list_webhooks(environment: UUID, api: Api, *, as_json: bool) -> None:
    """List the webhooks of an environment, oldest first."""
    response = run(ask(api, "GET", f"/environments/{environment}/webhooks"))
    if as_json:
        print_raw_json(response)
        return
    webhooks = msgspec.json.decode(response, type=list[ListedWebhook])
    rows = [(w.webhook_id, w.name, w.method, w.url, events_of(w), state_of(w)) for w in webhooks]
    without = "This environment has no webhooks yet: create one with `webhooks create`."
    show_table(("webhook_id", "name", "method", "url", "events", "state"), rows, without)


@command.command(
    "create",
    epilog=examples(
        "webhooks create --environment ID --url https://example.com/hook",
        "webhooks create --environment ID --url https://example.com/hook \\",
        "  --event job-completed --event pipeline-completed --header 'X-Tenant: north'",
        "webhooks create --environment ID --url https://example.com/hook \\",
        "  --event job-completed --filter @failed.json",
        "webhooks create --environment ID --url https://example.com/hook \\",
        '  --timeout 5s --retry \'{"max_retries": 8, "interval": "10s", "backoff": 4}\'',
    ),
)
@_environment
@click.option("--url", required=True, help="Where requests are sent.")
@click.option("--name", help="What you call it (default: the URL).")
@_events
@click.option("--method", type=click.Choice(_METHODS), default="post", show_default=True)
@_description
@_headers
@filter_option(extra=" (default: all).")
@retry_options(extra=" (default: the installation's)")
@click.option(
    "--ordered", is_flag=True, default=None, help="Deliver events of one ordering key in order."
)
@rate_limit_option(1, extra=" (default: no limit).")
@json_option
@api_option
@asynchronous
async def create_webhook(  # noqa: PLR0913 - one parameter an option
    *,
    environment: UUID,
    url: str,
    name: str | None,
    events: tuple[str, ...],
    headers: dict[str, str],
    api: Api,
    as_json: bool,
    **options: object,
) -> None:
    """Create a webhook; without --event it gets all event types there are."""
    draft: _Fields = {"name": name or url[:256], "url": url, "events": list(events)}
    draft |= _given(custom_headers=headers, **options)
    async with ApiClient(api) as client:
        draft["events"] = draft["events"] or await event_types(client)
        body = msgspec.json.encode(draft)
        response = await client.request("POST", f"/environments/{environment}/webhooks", body)
    _print(response, as_json=as_json)


@command.command(
    "show",
    epilog=examples(
        "webhooks show WEBHOOK_ID",
        "webhooks show WEBHOOK_ID --json | jq .health",
    ),
)
@_webhook_id
@json_option
@api_option
def show_webhook(webhook_id: UUID, api: Api, *, as_json: bool) -> None:
    """Show a webhook with its latest attempts; secret header values are masked."""
    _print(run(ask(api, "GET", f"/webhooks/{webhook_id}")), as_json=as_json)


@command.command(
    "update",
    epilog=examples(
        "webhooks update WEBHOOK_ID --url https://example.com/other",
        "webhooks update WEBHOOK_ID --event job-created --event job-completed",
        "webhooks update WEBHOOK_ID --filter @failed.json",
    ),
)
@_webhook_id
@click.option("--url", help="Where requests are sent.")
@click.option("--name", help="What you call it.")
@_events
@click.option("--method", type=click.Choice(_METHODS))
@_description
@_headers
@click.option(
    "--remove-header",
    "removed",
    multiple=True,
    metavar="NAME",
    help="A header to remove (repeatable).",
)
@filter_option(extra="; an empty one removes it.")
@retry_options(extra="; an empty one goes back to the installation's")
@click.option(
    "--ordered/--unordered", default=None, help="Deliver events of one ordering key in order."
)
@rate_limit_option(0, extra="; 0 removes the limit.")
@json_option
@api_option
def update_webhook(
    webhook_id: UUID,
    headers: dict[str, str],
    removed: tuple[str, ...],
    api: Api,
    *,
    as_json: bool,
    **options: object,
) -> None:
    """Change what is given and leave the rest as it is.

    --event replaces all event types, --filter and --retry the whole of theirs; an empty
    --description, --filter, --retry or --timeout removes it; --header adds a header or replaces its
    value.
    """
    changes = {name: value for name, value in options.items() if value not in (None, ())}
    if not changes and not headers and not removed:
        raise click.UsageError("Say what is to change: --url, --name, --event …")

    def change(webhook: _Fields) -> Mapping[str, object]:
        changed = webhook | changes | _merged_headers(webhook, headers, removed)
        return {key: value for key, value in changed.items() if value not in ("", {}, 0)}

    _print(run(_replace(api, webhook_id, change)), as_json=as_json)


@command.command(
    "enable",
    epilog=examples(
        "webhooks enable WEBHOOK_ID",
        "webhooks enable WEBHOOK_ID --json",
    ),
)
@_webhook_id
@json_option
@api_option
def enable_webhook(webhook_id: UUID, api: Api, *, as_json: bool) -> None:
    """Send to a webhook again that you or the system disabled."""

    def change(webhook: _Fields) -> Mapping[str, object]:
        return {key: value for key, value in webhook.items() if key != "disabled_until"}

    _print(run(_replace(api, webhook_id, change)), as_json=as_json)


@command.command(
    "disable",
    epilog=examples(
        "webhooks disable WEBHOOK_ID",
        "webhooks disable WEBHOOK_ID --until 2026-12-24T18:00:00Z",
    ),
)
@_webhook_id
@click.option(
    "--until",
    default=_FOREVER,
    callback=time_to_come,
    metavar="TIME",
    help="When it is enabled again, like 2026-12-24T18:00:00Z (default: never).",
)
@json_option
@api_option
def disable_webhook(webhook_id: UUID, until: str, api: Api, *, as_json: bool) -> None:
    """Send nothing to a webhook; what is pending waits until then."""
    _print(
        run(_replace(api, webhook_id, lambda webhook: webhook | {"disabled_until": until})),
        as_json=as_json,
    )


@command.command(
    "test",
    epilog=examples(
        "webhooks test WEBHOOK_ID",
        "webhooks test WEBHOOK_ID --event job-completed --json",
    ),
)
@_webhook_id
@click.option(
    "--event",
    metavar="TYPE",
    shell_complete=complete_event_type,
    help="The event type (default: one it subscribes to).",
)
@json_option
@api_option
def try_webhook(webhook_id: UUID, event: str | None, api: Api, *, as_json: bool) -> None:
    """Send an example to a webhook now, and show what it answers.

    A failing receiver is an exit code of 1. It is made once, and has no consequences.
    """
    response = run(ask(api, "POST", f"/webhooks/{webhook_id}/test", _given(event=event)))
    attempt = msgspec.json.decode(response, type=AttemptView)
    if as_json:
        print_raw_json(response)
    else:
        print_attempt(msgspec.json.decode(response, type=_Fields))
    if attempt.outcome != "succeeded":
        raise CommandFailed(attempt.error.message if attempt.error else "The test failed.")


@command.command(
    "delete",
    epilog=examples(
        "webhooks delete WEBHOOK_ID",
        "webhooks delete WEBHOOK_ID --yes",
    ),
)
@_webhook_id
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@api_option
def delete_webhook(webhook_id: UUID, api: Api, *, yes: bool, as_json: bool) -> None:
    """Delete a webhook; what it still waits for is cancelled."""
    if not yes:
        confirm(f"Delete webhook {webhook_id} and all that it waits for?", "Nothing was deleted.")
    run(ask(api, "DELETE", f"/webhooks/{webhook_id}"))
    if as_json:
        print_raw_json(msgspec.json.encode({"deleted": webhook_id}))
    else:
        output().print(f"Webhook {webhook_id} is deleted.", markup=False)


async def _replace(api: Api, webhook_id: UUID, change: _Change) -> bytes:
    """Read a webhook, change it and write it back, unless somebody else did so meanwhile."""
    path = f"/webhooks/{webhook_id}"
    async with ApiClient(api) as client:
        stored = await client.exchange("GET", path)
        body = msgspec.json.encode(change(msgspec.json.decode(stored.body, type=_Fields)))
        response = await client.exchange("PUT", path, body, if_match=stored.etag)
        return response.body


async def event_types(client: ApiClient) -> list[str]:
    """Return the names of all event types that the API knows."""
    response = await client.request("GET", "/webhooks/events")
    return [event.name for event in msgspec.json.decode(response, type=list[_EventType])]


def _given(**fields: object) -> _Fields:
    return {name: value for name, value in fields.items() if value}


def _merged_headers(webhook: _Fields, headers: dict[str, str], removed: tuple[str, ...]) -> _Fields:
    """Return the headers with those added and removed; their case does not matter.

    The others go back as masks, also those that were shown: a value goes to a new receiver only if
    it was given for it.
    """
    stored = msgspec.convert(webhook.get("custom_headers", {}), dict[str, str])
    replaced = {name.lower() for name in (*headers, *removed)}
    masks = {name: MASK for name in stored if name.lower() not in replaced}
    return {"custom_headers": masks | headers}


def _print(response: bytes, *, as_json: bool) -> None:
    if as_json:
        print_raw_json(response)
    else:
        webhook = msgspec.json.decode(response, type=ListedWebhook)
        state = {"state": state_of(webhook), "events": events_of(webhook)}
        show_object(msgspec.json.decode(response, type=_Fields) | state)
