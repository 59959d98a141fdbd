"""Commits that are never cancelled, and the server processes of those that were given up.

A commit that waits for a synchronous standby must not be cancelled: PostgreSQL then stops waiting,
and the rows become visible although no standby has them ("the transaction has already committed
locally, but might not have been replicated to the standby"). asyncpg sends a cancel request when a
statement's timeout expires or its task is cancelled, so a statement that commits has neither here.
"""

import asyncio
from collections.abc import Callable, Collection, Coroutine
from contextlib import suppress
from datetime import timedelta
from typing import Any, Final, cast

from attrs import define

from notification_adapters.sql.dialect import RawRow
from notification_adapters.sql.postgres.server import PostgresConnection, Server

_NEVER_SECONDS: Final = 1e8
"""asyncpg takes None for the connection's own timeout; this is three years."""

_CANCELLED_SECONDS: Final = 2.0
"""A commit whose caller is cancelled has so long to end before it is given up."""

_POLL_SECONDS: Final = 1.0

# A process number may be used again, by a session that began after ours was given up. One that is
# idle has ended its transaction, and holds no lock.
_STILL_COMMITTING: Final = """
SELECT a.pid
FROM pg_stat_activity AS a JOIN unnest($1::integer[], $2::interval[]) AS given_up (pid, ago)
  ON a.pid = given_up.pid AND a.backend_start < clock_timestamp() - given_up.ago
WHERE a.state <> 'idle'
"""


@define(eq=False)
class _GivenUp:
    """A commit that nobody waits for any more; times are the loop's, in seconds."""

    pid: int
    started_at: float
    given_up: float
    then: Callable[[], None] | None = None


class CommitTracker:
    """The unfinished commits of a process, including those that were given up."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._clock = asyncio.get_running_loop().time
        self._running: dict[PostgresConnection, float] = {}
        self._given_up: dict[PostgresConnection, _GivenUp] = {}
        self._watching: asyncio.Task[None] | None = None
        self._last = self._clock()

    @property
    def oldest_age(self) -> timedelta:
        """How long the oldest unfinished commit has been running; zero if there is none."""
        given_up = (commit.started_at for commit in self._given_up.values())
        now = self._clock()
        return timedelta(seconds=now - min([*self._running.values(), *given_up], default=now))

    @property
    def idle_for(self) -> timedelta:
        """How long ago a commit last succeeded."""
        return timedelta(seconds=self._clock() - self._last)

    async def run(
        self, connection: PostgresConnection, statement: str, *values: object
    ) -> list[RawRow]:
        """Run a statement that commits, and return its rows: none of one without values.

        If the server's ``response_seconds`` pass, or some seconds after the caller was cancelled,
        the connection is aborted without a cancel request; whether the commit happens is then
        unknown.
        Raises :class:`TimeoutError` in the former case.
        """
        pid = connection.get_server_pid()
        if not self._server.prepared_statements:
            # That is the pooler's invention; this transaction's backend says what its own is.
            pid = await connection.fetchval("SELECT pg_backend_pid()")
        started_at = self._clock()
        self._running[connection] = started_at
        run: Callable[..., Coroutine[Any, Any, Any]] = (
            connection.fetch if values else connection.execute
        )
        task = asyncio.create_task(run(statement, *values, timeout=_NEVER_SECONDS))
        try:
            # Unlike wait_for, this does not cancel what it waits for.
            await asyncio.wait({task}, timeout=self._server.response_seconds)
        except asyncio.CancelledError:
            # Nearly always it ends soon: the caller then finds it done, and the connection is kept.
            # If the inner task was cancelled too, the loop is ending.
            if not task.cancelling():
                await asyncio.wait({task}, timeout=_CANCELLED_SECONDS)
            raise
        finally:
            del self._running[connection]
            # A loop that ends cancels every task, this inner one too. asyncpg then starts a task
            # that requests the cancellation, unless the connection is terminated before it runs.
            if not task.done() or task.cancelled():
                self._given_up[connection] = _GivenUp(pid, started_at, self._clock())
                task.add_done_callback(_retrieve_error)
                connection.terminate()
        if not task.done():
            raise TimeoutError
        result = task.result()
        self._last = self._clock()
        return cast("list[RawRow]", result) if values else []

    def when_ended(self, connection: PostgresConnection, then: Callable[[], None]) -> None:
        """Call at once or, if a commit on the connection was given up, once its backend is gone.

        Until then the backend holds its locks. While the server is unreachable none is known to be
        gone.
        """
        given_up = self._given_up.get(connection)
        if given_up is None:
            then()
            return
        given_up.then = then
        if self._watching is None or self._watching.done():
            self._watching = asyncio.create_task(self._watch())

    async def close(self) -> None:
        """Stop watching backends."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)

    async def _watch(self) -> None:
        while self._given_up:
            with suppress(Exception):  # while the server is unreachable, all of them count
                for connection in await self._ended():
                    if then := self._given_up.pop(connection).then:
                        then()
            await asyncio.sleep(_POLL_SECONDS)

    async def _ended(self) -> Collection[PostgresConnection]:
        """Return the connections, given up so far, whose backends are gone or idle."""
        asked, now = dict(self._given_up), self._clock()
        ages = [timedelta(seconds=now - commit.given_up) for commit in asked.values()]
        observer = await self._server.connect_directly()
        try:
            pids = [commit.pid for commit in asked.values()]
            running = {pid for (pid,) in await observer.fetch(_STILL_COMMITTING, pids, ages)}
        finally:
            observer.terminate()
        return [connection for connection, commit in asked.items() if commit.pid not in running]


def _retrieve_error(task: asyncio.Task[Any]) -> None:
    """Read the error of an aborted statement, or asyncio logs that nobody did."""
    if not task.cancelled():
        task.exception()
