"""``events``: what a webhook can subscribe to, what was published, and what happened to it."""

from shlex import quote as quoted
from urllib.parse import quote
from uuid import UUID, uuid4

import click
import msgspec

from notification_client import PublishedEvent
from notification_entrypoints.cli.client import Api, ApiClient, api_option, ask
from notification_entrypoints.cli.completion import complete_event_id, complete_event_type
from notification_entrypoints.cli.groups import Commands
from notification_entrypoints.cli.ids import environment_option
from notification_entrypoints.cli.options import (
    EVENT_ID,
    ID,
    WholeNumber,
    examples,
    since_option,
    until_option,
)
from notification_entrypoints.cli.publish import outcome_of
from notification_entrypoints.cli.terminal import (
    asynchronous,
    json_option,
    list_option,
    messages,
    output,
    print_raw_json,
    run,
    show_object,
    show_table,
)
from notification_entrypoints.commands.exit_codes import CommandFailed

_PAGE = 100


class _EventType(msgspec.Struct):
    name: str
    description: str
    deprecated: bool = False
    example: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


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


_environment = environment_option("Whose events")


@click.group("events", cls=Commands)
def command() -> None:
    """List event types and published events, show an event's deliveries, publish an example."""


@command.command(
    "types",
    epilog=examples(
        "events types",
        "events types --json",
        "events types --environment ID",
    ),
)
@click.option(
    "--environment", type=ID, help="What the webhooks of this environment can subscribe to."
)
@list_option
@api_option
def types(api: Api, *, environment: UUID | None, as_json: bool) -> None:
    """List the event types: what a webhook can subscribe to.

    Operational events are among those of the environment that OPERATIONAL_WEBHOOK_ENVIRONMENT
    names. With --output json each has a JSON Schema of its data and an example as well.
    """
    query = {} if environment is None else {"environment_id": str(environment)}
    response = run(ask(api, "GET", "/webhooks/events", query=query))
    if as_json:
        print_raw_json(response)
        return
    rows = [
        (e.name, f"Deprecated. {e.description}" if e.deprecated else e.description)
        for e in msgspec.json.decode(response, type=list[_EventType])
    ]
    show_table(("name", "description"), rows, "The catalogue has no event types.")


@command.command(
    "list",
    epilog=examples(
        "events list --environment ID",
        "events list --environment ID --event job-completed --since 1h --json",
    ),
)
@_environment
@click.option(
    "--event", metavar="TYPE", shell_complete=complete_event_type, help="Filter by event type."
)
@since_option
@until_option
@click.option(
    "--limit",
    type=WholeNumber(1, 10_000),
    default=50,
    show_default=True,
    help="How many of the latest events.",
)
@list_option
@api_option
@asynchronous
async def list_events(  # noqa: PLR0913 - one parameter an option
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
    path = f"/environments/{environment}/events"
    items: list[msgspec.Raw] = []
    async with ApiClient(api) as client:
        async for page in client.pages(path, {"limit": str(min(limit, _PAGE)), **filters}):
            items += msgspec.json.decode(page, type=list[msgspec.Raw])
            if len(items) >= limit:
                break
    del items[limit:]
    if as_json:
        print_raw_json(msgspec.json.encode(items))
    else:
        rows = []
        for item in items:
            summary = msgspec.json.decode(item, type=_Summary)
            counts = [f"{count} {state}" for state, count in summary.deliveries.items() if count]
            deliveries = ", ".join(counts) or "none"
            rows.append((summary.event_id, summary.event, summary.stored_at, deliveries))
        columns = ("event_id", "event", "stored_at", "deliveries")
        show_table(columns, rows, "There are no such events.")


@command.command(
    "show",
    epilog=examples(
        "events show EVENT_ID --environment ID",
        "events show --environment ID -- -1  # an id that begins with a hyphen",
    ),
)
@click.argument("event_id", type=EVENT_ID, shell_complete=complete_event_id)
@_environment
@click.option(
    "--limit",
    type=WholeNumber(1, 20_000),
    default=100,
    show_default=True,
    help="How many of its deliveries.",
)
@json_option
@api_option
@asynchronous
async def show_event(
    *, event_id: str, environment: UUID, limit: int, api: Api, as_json: bool
) -> None:
    """Show an event and its deliveries, also those that were skipped, and why."""
    path = f"/environments/{environment}/events/{quote(event_id, safe='')}"
    async with ApiClient(api) as client:
        pages = client.pages(path, {"limit": str(min(limit, _PAGE))})
        event = msgspec.json.decode(await anext(pages), type=_Event)
        while len(event.deliveries) < limit and (page := await anext(pages, None)):
            event.deliveries += msgspec.json.decode(page, type=_Event).deliveries
    del event.deliveries[limit:]
    if as_json:
        print_raw_json(msgspec.json.encode(event))
        return
    names = ("event_id", "event", "occurred_at", "stored_at")
    show_object({name: getattr(event, name) for name in names})
    output().print()
    rows = []
    for item in event.deliveries:
        delivery = msgspec.json.decode(item, type=_Delivery)
        ids = delivery.delivery_id, delivery.webhook_id
        state = delivery.state, delivery.reason, delivery.attempt, delivery.next_attempt_at
        rows.append((*ids, *state))
    columns = ("delivery_id", "webhook_id", "state", "reason", "attempt", "next_attempt_at")
    show_table(columns, rows, "No matching webhook: the event has no deliveries.")


@command.command(
    "trigger",
    epilog=examples(
        "events trigger job-completed --environment ID",
        "events trigger pipeline-created --environment ID --event-id trial-1",
    ),
)
@click.argument("event_type", metavar="TYPE", shell_complete=complete_event_type)
@_environment
@click.option("--event-id", type=EVENT_ID, help="The event's id (default: a new one).")
@json_option
@api_option
@asynchronous
async def trigger(
    event_type: str, environment: UUID, event_id: str | None, api: Api, *, as_json: bool
) -> None:
    """Publish the example of an event type, as the catalogue has it, to the webhooks for it."""
    async with ApiClient(api) as client:
        response = await client.request("GET", "/webhooks/events")
        known = {e.name: e for e in msgspec.json.decode(response, type=list[_EventType])}
        chosen = known.get(event_type)
        if chosen is None or not isinstance(chosen.example, msgspec.Raw):
            names = ", ".join(name for name, e in known.items() if e.example is not msgspec.UNSET)
            problem = "is not an event type" if chosen is None else "has no example"
            raise CommandFailed(f"{event_type!r} {problem}; those with an example are {names}.")
        event = {"event_id": event_id or str(uuid4()), "event": event_type, "data": chosen.example}
        path = f"/environments/{environment}/events"
        response = await client.request("POST", path, msgspec.json.encode(event))
    if as_json:
        print_raw_json(response)
        return
    published = msgspec.json.decode(response, type=PublishedEvent)
    show_table(("event_id", "outcome"), [(published.event_id, outcome_of(published))], "")
    messages().print(
        f"See its deliveries: notification-management events show {quoted(published.event_id)} "
        f"--environment {environment}",
        markup=False,
    )
