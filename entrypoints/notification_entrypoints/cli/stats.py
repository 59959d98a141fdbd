"""``stats``: how much was sent, how it ended, and how long it took."""

import sys
from collections.abc import Callable, Iterator, Sequence
from math import ceil
from typing import Final
from uuid import UUID

import click
import msgspec

from notification_entrypoints.cli.client import Api, api_option, ask
from notification_entrypoints.cli.completion import (
    ENVIRONMENT_VARIABLE,
    complete_environment_id,
)
from notification_entrypoints.cli.ids import webhook_id_argument
from notification_entrypoints.cli.options import ID, examples, since_option, until_option
from notification_entrypoints.cli.tables import Row
from notification_entrypoints.cli.terminal import (
    json_option,
    output,
    print_raw_json,
    run,
    show_table,
    style,
)

_MOST_MARKS: Final = 60
_MARKS: Final = "▁▂▃▄▅▆▇█"
_ASCII_MARKS: Final = "_.:-=+*#"
_COLUMNS: Final = ("figure", "total", "highest", "trend")

_Values = Sequence[float | None]
"""A figure in each bucket; None where there was nothing that it could be of."""


class _Counts(msgspec.Struct):
    attempts: dict[str, int]
    errors: dict[str, int]
    deliveries: dict[str, int]
    attempt_duration_ms: dict[str, float] = {}
    delivery_time_ms: dict[str, float] = {}


class _Statistics(msgspec.Struct):
    since: str
    until: str
    bucket: str
    total: _Counts
    buckets: list[_Counts]


@click.command(
    "stats",
    epilog=examples(
        "stats WEBHOOK_ID",
        "stats WEBHOOK_ID --since 2h --bucket minute",
        "stats --environment ID --since 720h --bucket day --json | jq .total",
    ),
)
@webhook_id_argument(required=False)
@click.option(
    "--environment",
    type=ID,
    envvar=ENVIRONMENT_VARIABLE,
    shell_complete=complete_environment_id,
    show_envvar=True,
    help="All webhooks of this environment together.",
)
@click.option(
    "--bucket",
    type=click.Choice(["minute", "hour", "day"]),
    default="hour",
    show_default=True,
    help="How much time each bucket covers. Minutes are kept for 48 hours.",
)
@since_option
@until_option
@json_option
@api_option
@click.pass_context
def command(  # noqa: PLR0913 - one parameter an option
    context: click.Context,
    *,
    webhook_id: UUID | None,
    environment: UUID | None,
    bucket: str,
    since: str | None,
    until: str | None,
    api: Api,
    as_json: bool,
) -> None:
    """Show how many attempts and deliveries ended in which way, and how long they took.

    Of one webhook, or of an environment. Without --since it is the last hour by minutes, the last
    day by hours, or the last 30 days by days. The trend has a mark for each bucket, up to 60; the
    figures of each bucket are printed with --output json.
    """
    source = context.get_parameter_source("environment")
    is_typed = source is click.core.ParameterSource.COMMANDLINE
    if (webhook_id and is_typed) or not (webhook_id or environment):
        raise click.UsageError("Give either WEBHOOK_ID or --environment.")
    path = f"/webhooks/{webhook_id}" if webhook_id else f"/environments/{environment}"
    given = {"bucket": bucket, "since": since, "until": until}
    query = {name: value for name, value in given.items() if value is not None}
    response = run(ask(api, "GET", f"{path}/stats", query=query))
    if as_json:
        print_raw_json(response)
        return
    statistics = msgspec.json.decode(response, type=_Statistics)
    rows = [*_rows(statistics)]
    if rows:
        since, until = style().time(statistics.since), style().time(statistics.until)
        output().print(f"{since} to {until}, by {statistics.bucket}", markup=False)
    show_table(_COLUMNS, rows, "Nothing was sent within this time.")


def _rows(statistics: _Statistics) -> Iterator[Row]:
    """Yield a row for each figure that is not nothing."""
    counted = (("attempts", "attempts"), ("error", "errors"), ("deliveries", "deliveries"))
    for word, field in counted:
        for name, total in getattr(statistics.total, field).items():
            if total:
                values = [getattr(bucket, field).get(name, 0) for bucket in statistics.buckets]
                yield f"{word} {name}", total, max(values), sparkline(values, sum)
    for word, field in (
        ("attempt duration", "attempt_duration_ms"),
        ("time to deliver", "delivery_time_ms"),
    ):
        for name, whole in getattr(statistics.total, field).items():
            each = [getattr(bucket, field).get(name) for bucket in statistics.buckets]
            highest = max(value for value in each if value is not None)
            yield f"{word} {name} (ms)", whole, highest, sparkline(each, max)


def sparkline(values: _Values, together: Callable[[Sequence[float]], float]) -> str:
    """Return a mark for each value, the higher the more; a blank if there is none.

    More values than there is room for are put ``together``, neighbours with neighbours.
    """
    size = max(1, ceil(len(values) / _MOST_MARKS))
    parts = (values[start : start + size] for start in range(0, len(values), size))
    known = ([value for value in part if value is not None] for part in parts)
    points = [together(part) if part else None for part in known]
    highest = max((point for point in points if point), default=1)
    marks = _MARKS
    try:
        marks.encode(sys.stdout.encoding)
    except UnicodeEncodeError:
        marks = _ASCII_MARKS
    return "".join(
        " " if point is None else marks[ceil(point / highest * (len(marks) - 1))]
        for point in points
    )
