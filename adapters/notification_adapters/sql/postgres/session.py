"""One connection for what must outlast a transaction: a lock, and an open ear."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from notification_adapters.sql.postgres.hosts import Connection
from notification_adapters.sql.postgres.server import Server

_BEAT_SECONDS: Final = 1.0
_ANSWER_SECONDS: Final = 2.0


class Session:
    """A connection past any pooler; ``gone`` is set once it is lost or was never opened."""

    def __init__(self, server: Server, channel: str, heard: Callable[[str], None]) -> None:
        self._server = server
        self._channel = channel
        self._heard = heard
        self._connection: Connection | None = None
        self._beating: asyncio.Task[None] | None = None
        self._talking = asyncio.Lock()
        self.gone = asyncio.Event()
        self.gone.set()

    async def open(self) -> None:
        """Connect anew unless it is connected, and listen."""
        if not self.gone.is_set():
            return
        await self.close()
        connection = self._connection = await self._server.connect_directly()
        connection.add_termination_listener(self._ended)
        async with asyncio.timeout(_ANSWER_SECONDS):
            await connection.add_listener(self._channel, self._notified)
        self.gone.clear()
        self._beating = asyncio.create_task(self._beat(connection))

    async def ask(self, statement: str, *values: object) -> object:
        """Run a statement; return its first value."""
        connection = self._connection
        assert connection is not None  # noqa: S101 - for the type checker: it was opened
        async with self._talking:  # the driver takes one question at a time
            return await connection.fetchval(statement, *values, timeout=_ANSWER_SECONDS)

    async def close(self) -> None:
        """Let the connection go, and with it the lock."""
        connection, self._connection = self._connection, None
        beating, self._beating = self._beating, None
        if beating is not None:
            beating.cancel()
        if connection is not None:
            connection.remove_termination_listener(self._ended)
            connection.terminate()
        self.gone.set()

    def _notified(self, _: object, pid: int, channel: str, payload: object) -> None:  # noqa: ARG002 - as asyncpg calls
        self._heard(str(payload))

    def _ended(self, _: object) -> None:
        self.gone.set()

    async def _beat(self, connection: Connection) -> None:
        """Find out soon that the other side is gone without a word."""
        with suppress(Exception):  # whatever is wrong with it, it is lost then
            while True:
                await asyncio.sleep(_BEAT_SECONDS)
                async with self._talking:
                    await connection.fetchval("SELECT 1", timeout=_ANSWER_SECONDS)
        connection.terminate()
        self.gone.set()
