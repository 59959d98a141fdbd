"""``deliveries``: where events stand on their way to a webhook, and delivering one once more."""

from uuid import UUID

import click
import msgspec

from notification_entrypoints.cli.attempts import print_attempt
from notification_entrypoints.cli.client import Api, api_option, ask
from notification_entrypoints.cli.groups import Commands
from notification_entrypoints.cli.ids import delivery_id_argument, webhook_id_argument
from notification_entrypoints.cli.options import WholeNumber, examples
from notification_entrypoints.cli.terminal import (
    json_option,
    list_option,
    output,
    print_raw_json,
    run,
    show_object,
    show_table,
)

_STATES = ("pending", "succeeded", "failed", "skipped", "cancelled")
_COLUMNS = (
    "delivery_id",
    "state",
    "reason",
    "attempt",
    "created_at",
    "next_attempt_at",
    "event",
    "event_id",
    "origin",
)


class _Delivery(msgspec.Struct):
    delivery_id: str
    event: str
    event_id: str
    state: str
    attempt: int
    created_at: str
    reason: str = ""
    origin: str = ""
    next_attempt_at: str | None = None


@click.group("deliveries", cls=Commands)
def command() -> None:
    """List and show the deliveries of a webhook, and redeliver one."""


@command.command(
    "list",
    epilog=examples(
        "deliveries list WEBHOOK_ID",
        "deliveries list WEBHOOK_ID --state failed",
    ),
)
@webhook_id_argument()
@click.option("--state", type=click.Choice(_STATES), help="Filter by state.")
@click.option("--limit", type=WholeNumber(1, 100), default=20, show_default=True)
@list_option
@api_option
def list_deliveries(
    webhook_id: UUID, state: str | None, limit: int, api: Api, *, as_json: bool
) -> None:
    """List the latest deliveries of a webhook, newest first."""
    query = {"limit": str(limit)} | ({"state": state} if state else {})
    response = run(ask(api, "GET", f"/webhooks/{webhook_id}/deliveries", query=query))
    if as_json:
        print_raw_json(response)
        return
    rows = [
        (
            delivery.delivery_id,
            delivery.state,
            delivery.reason,
            delivery.attempt,
            delivery.created_at,
            delivery.next_attempt_at,
            delivery.event,
            delivery.event_id,
            delivery.origin,
        )
        for delivery in msgspec.json.decode(response, type=list[_Delivery])
    ]
    show_table(_COLUMNS, rows, "There are no such deliveries.")


@command.command(
    "show",
    epilog=examples("deliveries show DELIVERY_ID", "deliveries show DELIVERY_ID --utc"),
)
@delivery_id_argument
@json_option
@api_option
def show_delivery(delivery_id: UUID, api: Api, *, as_json: bool) -> None:
    """Show a delivery with each attempt, its request and its response."""
    response = run(ask(api, "GET", f"/deliveries/{delivery_id}"))
    if as_json:
        print_raw_json(response)
    else:
        _print(response)


@command.command(
    "retry", epilog=examples("deliveries retry DELIVERY_ID", "deliveries retry DELIVERY_ID --json")
)
@delivery_id_argument
@json_option
@api_option
def retry_delivery(delivery_id: UUID, api: Api, *, as_json: bool) -> None:
    """Deliver the same event to the same webhook once more, and show the new delivery."""
    response = run(ask(api, "POST", f"/deliveries/{delivery_id}/retry"))
    if as_json:
        print_raw_json(response)
    else:
        _print(response)


def _print(response: bytes) -> None:
    delivery = msgspec.json.decode(response, type=dict[str, object])
    attempts = msgspec.convert(delivery.pop("attempts", []), list[dict[str, object]])
    show_object(delivery)
    for attempt in attempts:
        output().print()
        print_attempt(attempt)
