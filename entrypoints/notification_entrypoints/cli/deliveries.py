"""``deliveries``: where events stand on their way to a webhook, and delivering one once more."""

from collections.abc import Sequence
from uuid import UUID

import click
import msgspec

from notification_entrypoints.cli.client import Api, api_option, ask
from notification_entrypoints.cli.options import ID, examples
from notification_entrypoints.cli.terminal import (
    fields,
    json_option,
    output,
    print_raw_json,
    run,
    show_table,
)

_STATES = ("pending", "succeeded", "failed", "skipped", "cancelled")
_SENTENCES = {
    "webhook_disabled": "the webhook was disabled",
    "webhook_deleted": "the webhook was deleted",
    "queue_full": "the webhook's queue was full",
    "filter_not_matched": "it does not match the filter",
    "expired": "it waited until the event expired",
    "interrupted": "too many attempts in a row were interrupted",
}

_delivery_id = click.argument("delivery_id", type=ID)


class _Delivery(msgspec.Struct):
    delivery_id: str
    event: str
    event_id: str
    state: str
    attempt: int
    created_at: str
    reason: str = ""
    origin: str = ""


@click.group("deliveries")
def command() -> None:
    """Show where events stand on their way to a webhook, and deliver one again."""


@command.command(
    "list",
    epilog=examples(
        "deliveries list WEBHOOK_ID",
        "deliveries list WEBHOOK_ID --state failed",
    ),
)
@click.argument("webhook_id", type=ID)
@click.option("--state", type=click.Choice(_STATES), help="Only those in this state.")
@click.option("--limit", type=click.IntRange(1, 100), default=20, show_default=True)
@json_option
@api_option
def list_deliveries(
    webhook_id: UUID, state: str | None, limit: int, api: Api, *, as_json: bool
) -> None:
    """List the latest deliveries of a webhook, newest first."""
    query = {"limit": str(limit)} | ({"state": state} if state else {})
    response = run(ask(api, "GET", f"/webhooks/{webhook_id}/deliveries", query=query))
    if as_json:
        print_raw_json(response)
    else:
        _show_rows(msgspec.json.decode(response, type=list[_Delivery]))


@command.command("show", epilog=examples("deliveries show DELIVERY_ID"))
@_delivery_id
@json_option
@api_option
def show_delivery(delivery_id: UUID, api: Api, *, as_json: bool) -> None:
    """Show a delivery with each attempt, its request and its response."""
    response = run(ask(api, "GET", f"/deliveries/{delivery_id}"))
    if as_json:
        print_raw_json(response)
    else:
        output().print(fields(msgspec.json.decode(response, type=dict[str, object])))


@command.command("retry", epilog=examples("deliveries retry DELIVERY_ID"))
@_delivery_id
@json_option
@api_option
def retry_delivery(delivery_id: UUID, api: Api, *, as_json: bool) -> None:
    """Deliver the same event to the same webhook once more, and show the new delivery."""
    response = run(ask(api, "POST", f"/deliveries/{delivery_id}/retry"))
    if as_json:
        print_raw_json(response)
    else:
        _show_rows([msgspec.json.decode(response, type=_Delivery)])


def in_words(reason: str) -> str:
    """Return why a delivery ended, to follow its state; a code of a newer server is left as is."""
    return f" ({_SENTENCES.get(reason, reason)})" if reason else ""


def _show_rows(deliveries: Sequence[_Delivery]) -> None:
    columns = ("delivery_id", "made at", "event", "event_id", "state", "attempts", "origin")
    rows = [
        (
            delivery.delivery_id,
            delivery.created_at,
            delivery.event,
            delivery.event_id,
            delivery.state + in_words(delivery.reason),
            str(delivery.attempt),
            delivery.origin,
        )
        for delivery in deliveries
    ]
    show_table(columns, rows, "There are no such deliveries.")
