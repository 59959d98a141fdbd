"""Filters on the command line: read from a file, and tried on what is stored."""

from collections.abc import Callable
from typing import TypeVar
from uuid import UUID

import click
import msgspec

from notification_client import FilterTrial
from notification_entrypoints.cli.client import Api, api_option, ask
from notification_entrypoints.cli.ids import webhook_id_argument
from notification_entrypoints.cli.options import WholeNumber, examples, json_object
from notification_entrypoints.cli.terminal import (
    list_option,
    messages,
    print_raw_json,
    run,
    show_table,
)

_Command = TypeVar("_Command", bound=Callable[..., object])


def filter_option(*, required: bool = False, extra: str = "") -> Callable[[_Command], _Command]:
    """Return the option of a filter; ``extra`` ends the sentence of its help."""
    what = "A JSON Schema of the bodies to send: @FILE, or the JSON itself"
    return click.option(
        "--filter",
        callback=json_object,
        required=required,
        metavar="@FILE",
        help=what + extra,
    )


@click.command(
    "try-filter",
    epilog=examples(
        "webhooks try-filter WEBHOOK_ID --filter @failed.json",
        "webhooks try-filter WEBHOOK_ID --filter @failed.json --limit 100 --json",
    ),
)
@webhook_id_argument()
@filter_option(required=True, extra=".")
@click.option("--limit", type=WholeNumber(1, 100), default=20, show_default=True)
@list_option
@api_option
def try_filter(
    webhook_id: UUID,
    filter: dict[str, object],  # noqa: A002 - the option's name is the field's
    limit: int,
    api: Api,
    *,
    as_json: bool,
) -> None:
    """Say which of the latest stored events a filter would let through.

    They are of the types that the webhook subscribes to. Nothing is stored or sent.
    """
    body = {"filter": filter, "limit": limit}
    response = run(ask(api, "POST", f"/webhooks/{webhook_id}/filter-trials", body))
    if as_json:
        print_raw_json(response)
        return
    trial = msgspec.json.decode(response, type=FilterTrial)
    rows = [
        (
            result.event_id,
            result.type,
            result.matched,
            " ".join(f"{error.field}: {error.message}" for error in result.errors[:1]),
        )
        for result in trial.results
    ]
    empty = "No events of these types are stored."
    show_table(("event_id", "type", "matched", "errors"), rows, empty)
    messages().print(f"{trial.matched} of {trial.tried} events match.")
