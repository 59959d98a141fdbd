"""Attempts as the API tells of them: read page by page, and followed without a double or a gap."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec
from attrs import define, field, frozen

from notification_entrypoints.cli.client import ApiClient

OVERLAP = timedelta(seconds=5)
"""How much of the log is read again: writers on several machines do not agree on the time."""

_PAGE = 100


class _Response(msgspec.Struct):
    http_code: int


class _Error(msgspec.Struct):
    code: str
    message: str = ""


class Attempt(msgspec.Struct):
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
        """What was answered."""
        return self.response.http_code if self.response else None

    @property
    def answer(self) -> str:
        """What was answered, or why there is no answer."""
        if self.response:
            return str(self.response.http_code)
        return self.error.code if self.error else ""

    @property
    def why(self) -> str:
        """Why it did not succeed, in words."""
        return self.error.message if self.error else ""

    @property
    def milliseconds(self) -> str:
        """How long it took, where that is known."""
        return "" if self.duration_ms is None else f"{self.duration_ms:.0f}"

    @property
    def written_at(self) -> datetime:
        """When it was logged: the first 48 bits of a UUIDv7 are milliseconds."""
        return datetime.fromtimestamp((self.log_id.int >> 80) / 1000, UTC)


@frozen
class Entry:
    """An attempt, and the JSON that told of it."""

    attempt: Attempt
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

    def match(self, attempt: Attempt) -> bool:
        """Tell whether an attempt that was made just now is wanted."""
        return (
            self.outcome in {None, attempt.outcome}
            and self.event in {None, attempt.event}
            and self.http_code in {None, attempt.http_code}
        )


_ITEMS = msgspec.json.Decoder(list[msgspec.Raw])
_ATTEMPT = msgspec.json.Decoder(Attempt)


@define
class WebhookLog:
    """A webhook's log, and what has been told of its latest seconds."""

    client: ApiClient
    webhook_id: UUID
    filters: Filters = Filters()
    _told: dict[UUID, datetime] = field(factory=dict, init=False)

    async def latest(self, limit: int) -> Sequence[Entry]:
        """Return the latest attempts that are wanted, the newest first."""
        found: list[Entry] = []
        async for page in self._pages(min(limit, _PAGE), self.filters):
            found += page[: limit - len(found)]
            if len(found) == limit:
                break
        return found

    async def begin(self, limit: int) -> Sequence[Entry]:
        """Return the latest attempts, the oldest first; from here on there is :meth:`news`."""
        if self.filters.query:
            # News are known by what is there already, wanted or not.
            self._remember(await anext(self._pages(1, Filters())))
        latest = await self.latest(limit)
        self._remember(latest)
        return latest[::-1]

    async def news(self) -> Sequence[Entry]:
        """Return the wanted attempts that have not been told yet, the oldest first."""
        since = self._told_until()
        new: dict[UUID, Entry] = {}
        async for page in self._pages(_PAGE, Filters()):
            young = [each for each in page if since is None or each.attempt.written_at >= since]
            new |= {each.attempt.log_id: each for each in young}
            if len(young) < len(page):
                break
        news = [each for log_id, each in reversed(new.items()) if log_id not in self._told]
        self._remember(news)
        return [each for each in news if self.filters.match(each.attempt)]

    def _told_until(self) -> datetime | None:
        return max(self._told.values()) - OVERLAP if self._told else None

    def _remember(self, entries: Sequence[Entry]) -> None:
        self._told |= {each.attempt.log_id: each.attempt.written_at for each in entries}
        since = self._told_until()
        self._told = {one: at for one, at in self._told.items() if since is None or at >= since}

    async def _pages(self, size: int, filters: Filters) -> AsyncIterator[Sequence[Entry]]:
        path = f"/webhooks/{self.webhook_id}/logs"
        async for page in self.client.pages(path, {"limit": str(size), **filters.query}):
            yield [Entry(_ATTEMPT.decode(item), item) for item in _ITEMS.decode(page)]
