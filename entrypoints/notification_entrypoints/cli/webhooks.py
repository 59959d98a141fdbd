"""``webhooks list`` and ``webhooks create``."""

from collections.abc import Mapping
from uuid import UUID

import click
import msgspec

from notification_entrypoints.cli.client import Api, ApiClient, api_option
from notification_entrypoints.cli.terminal import output, print_raw_json, run, table

_METHODS = ("get", "post", "put", "patch", "delete")


class _Webhook(msgspec.Struct):
    webhook_id: str
    name: str
    method: str
    url: str
    events: list[str]
    disabled_until: str | None = None
    disabled_reason: str | None = None


class _EventType(msgspec.Struct):
    name: str


_environment = click.option("--environment", type=click.UUID, required=True)
_json = click.option("--json", "as_json", is_flag=True, help="Print what the API answers.")


@click.group("webhooks")
def command() -> None:
    """List and create the webhooks of an environment."""


@command.command("list")
@_environment
@_json
@api_option
def list_webhooks(environment: UUID, api: Api, *, as_json: bool) -> None:
    """List the webhooks of an environment."""
    answer = run(_request(api, "GET", f"/environments/{environment}/webhooks"))
    if as_json:
        print_raw_json(answer)
    else:
        _show(msgspec.json.decode(answer, type=list[_Webhook]))


@command.command("create")
@_environment
@click.option("--url", required=True, help="Where requests are sent.")
@click.option("--name", help="What you call it (default: the URL).")
@click.option(
    "--event", "events", multiple=True, help="An event type, several times (default: all)."
)
@click.option("--method", type=click.Choice(_METHODS), default="post", show_default=True)
@_json
@api_option
def create_webhook(  # noqa: PLR0913 - one parameter an option
    *,
    environment: UUID,
    url: str,
    name: str | None,
    events: tuple[str, ...],
    method: str,
    api: Api,
    as_json: bool,
) -> None:
    """Create a webhook."""
    draft = {"name": name or url[:256], "url": url, "method": method, "events": list(events)}
    answer = run(_create(api, environment, draft))
    if as_json:
        print_raw_json(answer)
    else:
        _show([msgspec.json.decode(answer, type=_Webhook)])


async def _request(api: Api, method: str, path: str) -> bytes:
    async with ApiClient(api) as client:
        return await client.request(method, path)


async def _create(api: Api, environment: UUID, draft: Mapping[str, object]) -> bytes:
    async with ApiClient(api) as client:
        events = draft["events"] or await event_types(client)
        body = msgspec.json.encode({**draft, "events": events})
        return await client.request("POST", f"/environments/{environment}/webhooks", body)


async def event_types(client: ApiClient) -> list[str]:
    """Return the names of all event types that the API knows."""
    answer = await client.request("GET", "/webhooks/events")
    return [each.name for each in msgspec.json.decode(answer, type=list[_EventType])]


def _show(webhooks: list[_Webhook]) -> None:
    rows = [
        (each.webhook_id, each.name, f"{each.method} {each.url}", _events(each), _state(each))
        for each in webhooks
    ]
    output().print(table(("webhook_id", "name", "sends to", "events", "state"), rows))


def _events(webhook: _Webhook) -> str:
    return ", ".join(webhook.events)


def _state(webhook: _Webhook) -> str:
    if webhook.disabled_until is None:
        return "active"
    reason = f" ({webhook.disabled_reason})" if webhook.disabled_reason else ""
    return f"disabled until {webhook.disabled_until}{reason}"
