"""``logs``: the attempts of a webhook."""

from uuid import UUID

import click
import msgspec

from notification_entrypoints.cli.client import Api, ApiClient, api_option
from notification_entrypoints.cli.terminal import output, print_raw_json, run, table

_COLUMNS = (
    "started_at",
    "event",
    "event_id",
    "attempt",
    "outcome",
    "answer",
    "ms",
    "again_at",
)


class _Response(msgspec.Struct):
    http_code: int


class _Error(msgspec.Struct):
    code: str


class _Attempt(msgspec.Struct):
    """One attempt, as far as the table shows it."""

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
    def answer(self) -> str:
        """What was answered, or why there is no answer."""
        if self.response:
            return str(self.response.http_code)
        return self.error.code if self.error else ""


@click.command("logs")
@click.argument("webhook_id", type=click.UUID)
@click.option(
    "--limit", type=click.IntRange(1, 100), default=50, show_default=True, help="How many attempts."
)
@click.option("--json", "as_json", is_flag=True, help="Print what the API answers.")
@api_option
def command(webhook_id: UUID, limit: int, api: Api, *, as_json: bool) -> None:
    """Show the latest attempts of a webhook, newest first."""
    answer = run(_latest(api, webhook_id, limit))
    if as_json:
        print_raw_json(answer)
        return
    attempts = msgspec.json.decode(answer, type=list[_Attempt])
    output().print(table(_COLUMNS, [_row(attempt) for attempt in attempts]))


async def _latest(api: Api, webhook_id: UUID, limit: int) -> bytes:
    async with ApiClient(api) as client:
        query = {"limit": str(limit)}
        return await client.request("GET", f"/webhooks/{webhook_id}/logs", query=query)


def _row(attempt: _Attempt) -> tuple[str, ...]:
    return (
        _milliseconds(attempt.started_at),
        attempt.event,
        attempt.event_id,
        str(attempt.attempt),
        attempt.outcome,
        attempt.answer,
        "" if attempt.duration_ms is None else f"{attempt.duration_ms:.0f}",
        _milliseconds(attempt.next_attempt_at or "")[len("2026-01-31T") :],
    )


def _milliseconds(instant: str) -> str:
    """Cut an instant of the API to what a table has room for."""
    return instant[: len("2026-01-31T09:30:00.000")]
