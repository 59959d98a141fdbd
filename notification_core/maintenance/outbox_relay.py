"""The relay of the outbox: its messages go to their topics, and are deleted from storage then."""

import asyncio
from datetime import timedelta
from uuid import UUID

from notification_core.errors import StorageUnavailable
from notification_core.ports.clock import Clock
from notification_core.ports.message_sink import MessageSink
from notification_core.ports.observer import Observer
from notification_core.ports.outbox import Outbox

_LIMIT = 500
_LIMIT_BYTES = 8 * 1024 * 1024
_LEASE = timedelta(seconds=4)
_RENEW_SECONDS = 1.0
"""Who dies while sending is soon replaced; who only takes long keeps what it has."""

_PAUSE = 1.0


class OutboxRelay:
    """Sends what the outbox holds, in order and at least once; one worker of a storage does."""

    def __init__(  # noqa: PLR0913 - its collaborators, one by one
        self,
        *,
        worker: UUID,
        outbox: Outbox,
        sink: MessageSink,
        clock: Clock,
        observer: Observer,
        poll_interval: timedelta,
    ) -> None:
        self._worker = worker
        self._outbox = outbox
        self._sink = sink
        self._clock = clock
        self._observer = observer
        self._poll_interval = poll_interval

    async def run(self) -> None:
        """Relay until cancelled; what is torn off then is sent once more by whoever comes next."""
        while True:
            try:
                pause = await self._relay()
            except Exception as error:  # noqa: BLE001 - the loop must survive whatever happens
                self._observer.background_task_failed("relay", error)
                pause = _PAUSE
            await self._clock.sleep(pause)

    async def _relay(self) -> float:
        """Send the oldest messages; return how long to wait before the next ones."""
        messages = await self._outbox.acquire(self._worker, _LEASE, _LIMIT, _LIMIT_BYTES)
        if not messages:
            return self._poll_interval.total_seconds()
        renewing = asyncio.create_task(self._renew())  # nobody else may send meanwhile
        try:
            sent = await self._sink.send(messages)
        finally:
            renewing.cancel()
            await asyncio.gather(renewing, return_exceptions=True)
        await self._outbox.remove([message.message_id for message in messages[:sent]])
        self._observer.messages_relayed(sent)
        return 0 if sent == len(messages) else _PAUSE

    async def _renew(self) -> None:
        while True:
            await self._clock.sleep(_RENEW_SECONDS)
            try:
                await self._outbox.renew(self._worker, _LEASE)
            except StorageUnavailable as error:
                self._observer.background_task_failed("relay", error)

    async def release(self) -> None:
        """Let another process go on at once; if storage is unreachable, after the lease."""
        try:
            await self._outbox.release(self._worker)
        except StorageUnavailable as error:
            self._observer.background_task_failed("relay", error)
