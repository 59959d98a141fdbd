"""``status``: backlog, workers and throughput, once or every second."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import timedelta

import click
import msgspec
from rich.live import Live
from rich.text import Text

from notification_core.model.durations import format_duration
from notification_entrypoints.cli.client import Api, ApiClient, ask, ops_option
from notification_entrypoints.cli.options import examples
from notification_entrypoints.cli.tables import Row, Rows, object_lines
from notification_entrypoints.cli.terminal import json_option, output, print_json, run, style
from notification_entrypoints.commands.exit_codes import ApiUnavailable

_PAUSE_SECONDS = 1.0


class _LastMinute(msgspec.Struct):
    events: int
    succeeded: int
    failed: int
    interrupted: int
    seconds: float

    def rate(self, count: int) -> str:
        """Return a count with how many there were in a second."""
        return f"{count:,} ({count / max(self.seconds, 1):,.1f}/s)"


class _FailingWebhook(msgspec.Struct):
    environment_id: str
    webhook_id: str
    failed: int
    succeeded: int


class _LongQueue(msgspec.Struct):
    environment_id: str
    webhook_id: str
    waiting: int
    waiting_is_exact: bool


class _Status(msgspec.Struct):
    waiting: int
    waiting_is_exact: bool
    claimed: int
    webhooks_waiting: int
    webhooks_paused: int
    oldest_due_seconds: float | None
    workers: list[str]
    dispatching: bool
    last_minute: _LastMinute
    failing_webhooks: list[_FailingWebhook] = []
    longest_queues: list[_LongQueue] = []


@click.command("status", epilog=examples("status", "status --watch", "status --json | jq .waiting"))
@click.option("--watch", is_flag=True, help="Refresh every second, until Ctrl-C.")
@json_option
@ops_option
def command(ops: Api, *, watch: bool, as_json: bool) -> None:
    """Show the backlog, the workers, and the throughput of the last minute.

    Also the ten webhooks of which most attempts have failed within an hour, and the ten for which
    most deliveries wait, as of the last ten seconds. Counts stop at 100,000. With --json --watch
    an object is printed every second.
    """
    if not watch:
        response = run(ask(ops, "GET", "/status"))
        _tell_programs(response) if as_json else output().print(_shown(response))
    elif as_json:
        _watch(ops, _tell_programs)
    else:
        with Live(console=output(), auto_refresh=False) as live:
            _watch(ops, lambda response: live.update(_shown(response), refresh=True))


def _watch(ops: Api, tell: Callable[[bytes], None]) -> None:
    with suppress(KeyboardInterrupt):
        run(_look_again(ops, tell))


async def _look_again(ops: Api, tell: Callable[[bytes], None]) -> None:
    """Print it every second; wait for a server that becomes unavailable after the first time."""
    async with ApiClient(ops) as client:
        tell(await client.request("GET", "/status"))
        while True:
            await asyncio.sleep(_PAUSE_SECONDS)
            with suppress(ApiUnavailable):
                tell(await client.request("GET", "/status"))


def _tell_programs(response: bytes) -> None:
    print_json(msgspec.Raw(response))


def _shown(response: bytes) -> Text:
    status = msgspec.json.decode(response, type=_Status)
    done = status.last_minute
    more = "" if status.waiting_is_exact else " or more"
    own = "a dispatcher" if status.dispatching else "not a dispatcher"
    oldest_due = "no overdue deliveries"
    if (seconds := status.oldest_due_seconds) is not None:
        oldest_due = f"{format_duration(timedelta(seconds=round(seconds, 1)))} ago"
    shown = {
        "waiting": f"{status.waiting:,}{more}, of {status.webhooks_waiting:,} webhooks",
        "claimed": f"{status.claimed:,}",
        "oldest_due": oldest_due,
        "paused": f"{status.webhooks_paused:,} webhooks",
        "workers": f"{len(status.workers)}; this process is {own}",
        "last_minute": f"{done.rate(done.events)} events",
        "": f"{done.rate(done.succeeded)} attempts succeeded",
        " ": f"{done.rate(done.failed)} failed, {done.interrupted:,} interrupted",
    }
    lines = [*object_lines(shown, style()), *_failing(status), *_longest(status)]
    return Text("\n").join(lines)


def _failing(status: _Status) -> Iterator[Text]:
    columns = ("webhook_id", "environment_id", "failed", "succeeded")
    rows = [[getattr(one, name) for name in columns] for one in status.failing_webhooks]
    yield from _table("Failing most, within an hour", columns, rows)


def _longest(status: _Status) -> Iterator[Text]:
    columns = ("webhook_id", "environment_id", "waiting")
    rows = [
        (
            one.webhook_id,
            one.environment_id,
            one.waiting if one.waiting_is_exact else f"{one.waiting}+",
        )
        for one in status.longest_queues
    ]
    yield from _table("Longest queues", columns, rows)


def _table(title: str, columns: Sequence[str], rows: Sequence[Row]) -> Iterator[Text]:
    if rows:
        yield from (Text(), Text(title, style="bold"), *Rows(columns, style()).lines(rows))
