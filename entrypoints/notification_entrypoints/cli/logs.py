"""``logs``: the attempts of a webhook, the latest ones or as they are made.

They are read page by page, and followed without a duplicate or a gap.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from uuid import UUID

import click
import msgspec
from attrs import define, field, frozen

from notification_entrypoints.cli.client import Api, ApiClient, api_option
from notification_entrypoints.cli.completion import complete_event_type
from notification_entrypoints.cli.ids import webhook_id_argument
from notification_entrypoints.cli.options import WholeNumber, examples, since_option, until_option
from notification_entrypoints.cli.tables import Row, printable
from notification_entrypoints.cli.terminal import (
    RowPrinter,
    list_option,
    messages,
    print_raw_json,
    run,
    show_table,
)
from notification_entrypoints.commands.exit_codes import ApiUnavailable

OVERLAP = timedelta(seconds=5)
"""How much of the log is read again: writers on several machines do not agree on the time."""

_PAGE = 100
_PAUSE_SECONDS = 1.0
_OUTCOMES = ("succeeded", "failed", "interrupted")
_COLUMNS = (
    "started_at",
    "outcome",
    "http_code",
    "error",
    "duration_ms",
    "attempt",
    "event",
    "event_id",
    "next_attempt_at",
)


class _Response(msgspec.Struct):
    http_code: int


class _Error(msgspec.Struct):
    code: str
    message: str = ""


class AttemptView(msgspec.Struct):
    """One attempt, as far as it is shown."""

    log_id: UUID
    started_at: str
    event: str
    event_id: str
    attempt: int
    outcome: str
    response: _Response | None = None
    error: _Error | None = None
    duration_ms: float | None = None
    next_attempt_at: str | None = None

    @property
    def http_code(self) -> int | None:
        """The status code of the response."""
        return self.response.http_code if self.response else None

    @property
    def why(self) -> str:
        """Why it failed, unless the outcome or the status code is the whole reason."""
        code = self.error.code if self.error else ""
        return "" if code in {"http_status", "interrupted"} else code

    @property
    def written_at(self) -> datetime:
        """When it was logged: the first 48 bits of a UUIDv7 are milliseconds."""
        return datetime.fromtimestamp((self.log_id.int >> 80) / 1000, UTC)


@frozen
class Entry:
    """An attempt, and the JSON that told of it."""

    attempt: AttemptView
    json: msgspec.Raw


@frozen
class Filters:
    """Which attempts are wanted; what is None matters not."""

    outcome: str | None = None
    event: str | None = None
    http_code: int | None = None
    since: str | None = None
    until: str | None = None

    @property
    def query(self) -> Mapping[str, str]:
        """The filters as the API takes them."""
        named = {
            "outcome": self.outcome,
            "event": self.event,
            "http_code": self.http_code,
            "since": self.since,
            "until": self.until,
        }
        return {name: str(value) for name, value in named.items() if value is not None}

    def match(self, attempt: AttemptView) -> bool:
        """Tell whether an attempt that was made just now is wanted."""
        return (
            self.outcome in {None, attempt.outcome}
            and self.event in {None, attempt.event}
            and self.http_code in {None, attempt.http_code}
        )


_ITEMS = msgspec.json.Decoder(list[msgspec.Raw])
_ATTEMPT = msgspec.json.Decoder(AttemptView)


@define
class WebhookLog:
    """A webhook's log, and what has been shown of its latest seconds."""

    client: ApiClient
    webhook_id: UUID
    filters: Filters = Filters()
    _shown: dict[UUID, datetime] = field(factory=dict, init=False)

    async def latest(self, limit: int) -> Sequence[Entry]:
        """Return the latest attempts that are wanted, the newest first."""
        entries: list[Entry] = []
        async for page in self._pages(min(limit, _PAGE), self.filters):
            entries += page[: limit - len(entries)]
            if len(entries) == limit:
                break
        return entries

    async def begin(self, limit: int) -> Sequence[Entry]:
        """Return the latest attempts, the oldest first; from here on there is :meth:`news`."""
        if self.filters.query:
            # News are known by what is there already, wanted or not.
            self._remember(await anext(self._pages(1, Filters())))
        latest = await self.latest(limit)
        self._remember(latest)
        return latest[::-1]

    async def news(self) -> Sequence[Entry]:
        """Return the wanted attempts that have not been shown yet, the oldest first."""
        since = self._shown_until()
        new: dict[UUID, Entry] = {}
        async for page in self._pages(_PAGE, Filters()):
            young = [entry for entry in page if since is None or entry.attempt.written_at >= since]
            new |= {entry.attempt.log_id: entry for entry in young}
            if len(young) < len(page):
                break
        news = [entry for log_id, entry in reversed(new.items()) if log_id not in self._shown]
        self._remember(news)
        return [entry for entry in news if self.filters.match(entry.attempt)]

    def _shown_until(self) -> datetime | None:
        return max(self._shown.values()) - OVERLAP if self._shown else None

    def _remember(self, entries: Sequence[Entry]) -> None:
        self._shown |= {entry.attempt.log_id: entry.attempt.written_at for entry in entries}
        since = self._shown_until()
        self._shown = {
            log_id: at for log_id, at in self._shown.items() if since is None or at >= since
        }

    async def _pages(self, size: int, filters: Filters) -> AsyncIterator[Sequence[Entry]]:
        path = f"/webhooks/{self.webhook_id}/logs"
        async for page in self.client.pages(path, {"limit": str(size), **filters.query}):
            yield [Entry(_ATTEMPT.decode(item), item) for item in _ITEMS.decode(page)]


@click.command(
    "logs",
    epilog=examples(
        "logs WEBHOOK_ID",
        "logs WEBHOOK_ID --follow",
        "logs WEBHOOK_ID --outcome failed --since 1h --json",
    ),
)
@webhook_id_argument()
@click.option(
    "--limit",
    type=WholeNumber(1, 10_000),
    default=50,
    show_default=True,
    help="How many of the latest attempts.",
)
@click.option(
    "--follow", "-f", is_flag=True, help="Print new attempts as they are made, until Ctrl-C."
)
@click.option("--outcome", type=click.Choice(_OUTCOMES), help="Filter by outcome.")
@click.option(
    "--event", metavar="TYPE", shell_complete=complete_event_type, help="Filter by event type."
)
@click.option("--http-code", type=WholeNumber(100, 999), help="Filter by status code.")
@since_option
@until_option
@list_option
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

    With --output json each attempt is printed as the API returns it, one object per line.
    """
    filters = Filters(outcome, event, http_code, since, until)
    if not follow:
        entries = run(_latest(api, webhook_id, filters, limit))
        if as_json:
            print_raw_json(msgspec.json.encode([entry.json for entry in entries]))
        else:
            rows = [_row(entry.attempt) for entry in entries]
            show_table(_COLUMNS, rows, "There are no such attempts yet.")
        return
    if until:
        raise click.UsageError("Give either --follow or --until.")
    printer = None if as_json else RowPrinter(_COLUMNS, goes_on=True)
    with suppress(KeyboardInterrupt):
        run(_follow(api, webhook_id, filters, limit, printer))


async def _latest(api: Api, webhook_id: UUID, filters: Filters, limit: int) -> Sequence[Entry]:
    async with ApiClient(api) as client:
        return await WebhookLog(client, webhook_id, filters).latest(limit)


async def _follow(
    api: Api, webhook_id: UUID, filters: Filters, limit: int, printer: RowPrinter | None
) -> None:
    async with ApiClient(api) as client:
        log = WebhookLog(client, webhook_id, filters)
        entries, away = await log.begin(limit), False
        while True:
            if printer is None:
                for entry in entries:
                    click.echo(bytes(entry.json))
            elif entries:
                printer.print([_row(entry.attempt) for entry in entries])
            await asyncio.sleep(_PAUSE_SECONDS)
            try:
                entries, away = await log.news(), False
            except ApiUnavailable as error:
                if not away:
                    messages().print(f"Waiting: {printable(str(error))}", markup=False)
                entries, away = (), True


def _row(attempt: AttemptView) -> Row:
    return (
        attempt.started_at,
        attempt.outcome,
        attempt.http_code,
        attempt.why,
        attempt.duration_ms,
        attempt.attempt,
        attempt.event,
        attempt.event_id,
        attempt.next_attempt_at,
    )
