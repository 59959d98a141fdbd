"""``events``: what a webhook can subscribe to, what was published, and what became of it."""

from collections.abc import Mapping, Sequence
from urllib.parse import quote
from uuid import UUID

import click
import msgspec

from notification_entrypoints.cli.client import Api, ApiClient, api_option, ask
from notification_entrypoints.cli.options import EVENT_ID, ID, examples, since_option, until_option
from notification_entrypoints.cli.terminal import (
    fields,
    json_option,
    output,
    print_raw_json,
    run,
    show_table,
    table,
)

_PAGE = 100


class _EventType(msgspec.Struct):
    name: str
    description: str


class _Summary(msgspec.Struct):
    event_id: str
    event: str
    stored_at: str
    deliveries: dict[str, int]


class _Delivery(msgspec.Struct):
    delivery_id: str
    webhook_id: str
    state: str
    attempt: int
    reason: str = ""
    next_attempt_at: str = ""


class _Event(msgspec.Struct):
    event_id: str
    event: str
    occurred_at: str
    stored_at: str
    deliveries: list[msgspec.Raw]


_environment = click.option("--environment", type=ID, required=True, help="Whose events.")


@click.group("events")
def command() -> None:
    """Show what can happen, what was published, and what became of it."""


@command.command(
    "types",
    epilog=examples(
        "events types",
        "events types --json",
    ),
)
@json_option
@api_option
def types(api: Api, *, as_json: bool) -> None:
    """List the event types: what a webhook can subscribe to.

    With --json each has a JSON Schema of its data and an example as well.
    """
    answer = run(ask(api, "GET", "/webhooks/events"))
    if as_json:
        print_raw_json(answer)
        return
    known = msgspec.json.decode(answer, type=list[_EventType])
    output().print(table(("event", "when"), [(each.name, each.description) for each in known]))


@command.command(
    "list",
    epilog=examples(
        "events list --environment ID",
        "events list --environment ID --event job-completed --since 1h --json",
    ),
)
@_environment
@click.option("--event", metavar="TYPE", help="Only events of this type.")
@since_option
@until_option
@click.option(
    "--limit",
    type=click.IntRange(1, 10_000),
    default=50,
    show_default=True,
    help="How many of the latest events.",
)
@json_option
@api_option
def list_events(  # noqa: PLR0913 - one parameter an option
    *,
    environment: UUID,
    event: str | None,
    since: str | None,
    until: str | None,
    limit: int,
    api: Api,
    as_json: bool,
) -> None:
    """List what was published, the latest first, with how its deliveries stand."""
    given = {"event": event, "since": since, "until": until}
    filters = {name: value for name, value in given.items() if value is not None}
    found = run(_latest(api, f"/environments/{environment}/events", filters, limit))
    if as_json:
        print_raw_json(msgspec.json.encode(found))
    else:
        rows = [_row(msgspec.json.decode(each, type=_Summary)) for each in found]
        columns = ("stored_at", "event", "event_id", "deliveries")
        show_table(columns, rows, "There are no such events.")


@command.command(
    "show",
    epilog=examples(
        "events show EVENT_ID --environment ID",
        "events show --environment ID -- -1  # an id that begins with a hyphen",
    ),
)
@click.argument("event_id", type=EVENT_ID)
@_environment
@click.option(
    "--limit",
    type=click.IntRange(1, 20_000),
    default=100,
    show_default=True,
    help="How many of its deliveries.",
)
@json_option
@api_option
def show_event(*, event_id: str, environment: UUID, limit: int, api: Api, as_json: bool) -> None:
    """Show what became of an event: its deliveries, also those that were skipped, and why."""
    path = f"/environments/{environment}/events/{quote(event_id, safe='')}"
    event = run(_event(api, path, limit))
    if as_json:
        print_raw_json(msgspec.json.encode(event))
        return
    names = ("event_id", "event", "occurred_at", "stored_at")
    output().print(fields({name: getattr(event, name) for name in names}), "")
    rows = [_delivery_row(msgspec.json.decode(each, type=_Delivery)) for each in event.deliveries]
    columns = ("delivery_id", "webhook_id", "state", "attempts", "again_at")
    show_table(columns, rows, "No webhook wanted it: it has no deliveries.")


async def _latest(
    api: Api, path: str, filters: Mapping[str, str], limit: int
) -> Sequence[msgspec.Raw]:
    found: list[msgspec.Raw] = []
    async with ApiClient(api) as client:
        async for page in client.pages(path, {"limit": str(min(limit, _PAGE)), **filters}):
            found += msgspec.json.decode(page, type=list[msgspec.Raw])
            if len(found) >= limit:
                break
    return found[:limit]


async def _event(api: Api, path: str, limit: int) -> _Event:
    """Return an event with so many of its deliveries."""
    async with ApiClient(api) as client:
        pages = client.pages(path, {"limit": str(min(limit, _PAGE))})
        event = msgspec.json.decode(await anext(pages), type=_Event)
        while len(event.deliveries) < limit and (page := await anext(pages, None)):
            event.deliveries += msgspec.json.decode(page, type=_Event).deliveries
    event.deliveries = event.deliveries[:limit]
    return event


def _row(event: _Summary) -> Sequence[str]:
    counts = [f"{count} {state}" for state, count in event.deliveries.items() if count]
    stored_at = event.stored_at[: len("2026-01-31T09:30:00.000")]
    return stored_at, event.event, event.event_id, ", ".join(counts) or "none"


def _delivery_row(one: _Delivery) -> Sequence[str]:
    state = f"{one.state} ({one.reason})" if one.reason else one.state
    again_at = one.next_attempt_at[: len("2026-01-31T09:30:00.000")]
    return one.delivery_id, one.webhook_id, state, str(one.attempt), again_at
