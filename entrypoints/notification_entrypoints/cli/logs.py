"""``logs``: the attempts of a webhook, the latest ones or as they are made."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from uuid import UUID

import click
import msgspec
from rich.console import Console
from rich.text import Text

from notification_entrypoints.cli.attempts import Attempt, Entry, Filters, WebhookLog
from notification_entrypoints.cli.client import Api, ApiClient, api_option
from notification_entrypoints.cli.examples import examples
from notification_entrypoints.cli.ids import ID
from notification_entrypoints.cli.terminal import (
    json_option,
    messages,
    output,
    print_raw_json,
    printable,
    run,
    show_table,
)
from notification_entrypoints.cli.times import since_option, until_option
from notification_entrypoints.commands.exit_codes import ApiUnavailable

_PAUSE_SECONDS = 1.0
_COLUMNS = ("started_at", "event", "event_id", "attempt", "outcome", "answer", "ms", "again_at")
_COLOURS = {"succeeded": "green", "failed": "red", "interrupted": "yellow"}


@click.command(
    "logs",
    epilog=examples(
        "logs WEBHOOK_ID",
        "logs WEBHOOK_ID --follow",
        "logs WEBHOOK_ID --outcome failed --since 1h --json",
    ),
)
@click.argument("webhook_id", type=ID)
@click.option(
    "--limit",
    type=click.IntRange(1, 10_000),
    default=50,
    show_default=True,
    help="How many of the latest attempts.",
)
@click.option("--follow", "-f", is_flag=True, help="Go on with what comes, until Ctrl-C.")
@click.option("--outcome", type=click.Choice(list(_COLOURS)), help="Only attempts that ended so.")
@click.option("--event", metavar="TYPE", help="Only attempts to tell of such events.")
@click.option("--http-code", type=click.IntRange(100, 999), help="Only attempts answered so.")
@since_option
@until_option
@json_option
@api_option
def command(  # noqa: PLR0913 - one parameter an option
    *,
    webhook_id: UUID,
    limit: int,
    follow: bool,
    outcome: str | None,
    event: str | None,
    http_code: int | None,
    since: str | None,
    until: str | None,
    api: Api,
    as_json: bool,
) -> None:
    """Show the latest attempts of a webhook, newest first; with --follow, oldest first.

    With --json it is what the API answers, followed one object a line.
    """
    filters = Filters(outcome, event, http_code, since, until)
    if not follow:
        entries = run(_latest(api, webhook_id, filters, limit))
        _print(entries, as_json=as_json)
        return
    if until:
        raise click.UsageError("Give either --follow or --until.")
    tell = _tell_programs if as_json else partial(_tell_people, output())
    with suppress(KeyboardInterrupt):
        run(_follow(api, webhook_id, filters, limit, tell))


async def _latest(api: Api, webhook_id: UUID, filters: Filters, limit: int) -> Sequence[Entry]:
    async with ApiClient(api) as client:
        return await WebhookLog(client, webhook_id, filters).latest(limit)


async def _follow(
    api: Api, webhook_id: UUID, filters: Filters, limit: int, tell: Callable[[Entry], None]
) -> None:
    async with ApiClient(api) as client:
        log = WebhookLog(client, webhook_id, filters)
        entries, away = await log.begin(limit), False
        while True:
            for entry in entries:
                tell(entry)
            await asyncio.sleep(_PAUSE_SECONDS)
            try:
                entries, away = await log.news(), False
            except ApiUnavailable as error:
                if not away:
                    messages().print(f"Waiting: {printable(str(error))}", markup=False)
                entries, away = (), True


def _print(entries: Sequence[Entry], *, as_json: bool) -> None:
    if as_json:
        print_raw_json(msgspec.json.encode([entry.json for entry in entries]))
    else:
        rows = [_row(entry.attempt) for entry in entries]
        show_table(_COLUMNS, rows, "There are no such attempts yet.")


def _row(attempt: Attempt) -> tuple[str, ...]:
    return (
        _milliseconds(attempt.started_at),
        attempt.event,
        attempt.event_id,
        str(attempt.attempt),
        attempt.outcome,
        attempt.answer,
        attempt.milliseconds,
        _milliseconds(attempt.next_attempt_at or "")[len("2026-01-31T") :],
    )


def _tell_people(console: Console, entry: Entry) -> None:
    attempt = entry.attempt
    again = _milliseconds(attempt.next_attempt_at or "")[len("2026-01-31T") :]
    line = Text(_milliseconds(attempt.started_at) + "  ")
    line.append(f"{attempt.outcome:<11}  ", style=_COLOURS.get(attempt.outcome, ""))
    said = f"{attempt.answer:<7}  {attempt.milliseconds:>5} ms" if attempt.milliseconds else ""
    told = f"{said:<17}  {attempt.event}  {attempt.event_id}  attempt {attempt.attempt}"
    line.append(printable(told + (f", again at {again}" if again else "")))
    console.print(line)


def _tell_programs(entry: Entry) -> None:
    click.echo(bytes(entry.json))


def _milliseconds(instant: str) -> str:
    """Cut an instant of the API to what a line has room for."""
    return instant[: len("2026-01-31T09:30:00.000")]
