"""Sending messages to topics, with a producer that is recreated after any error."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from itertools import takewhile
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError
from attrs import evolve

from notification_adapters.kafka.client import started
from notification_adapters.kafka.config import Brokers
from notification_adapters.kafka.topics import ensure_topics
from notification_core.errors import BrokersUnavailable
from notification_core.model.message import Topics
from notification_core.model.outbox_message import OutgoingMessage
from notification_core.ports.message_sink import MessageSink

LEFT_OUT = "value-left-out"
"""The header of a message whose value was larger than its topic takes."""

_SEND_SECONDS = 60.0
_ANY_SIZE = 2**30  # the topic's own bound is what counts


class KafkaSink(MessageSink):
    """Sends to a cluster; connects when there is something to send."""

    def __init__(self, brokers: Brokers, topics: Topics, replication_factor: int) -> None:
        self._brokers = brokers
        self._topics = topics
        self._replication_factor = replication_factor
        self._open = AsyncExitStack()
        self._producer: AIOKafkaProducer | None = None

    async def send(self, messages: Sequence[OutgoingMessage]) -> int:
        """Send messages in their order; return how many of the first ones were acknowledged."""
        outcomes = await self._outcomes(messages)
        acknowledged = len([*takewhile(_is_acknowledged, outcomes)])
        if messages and not acknowledged and isinstance(outcomes[0], MessageSizeTooLargeError):
            message = messages[0]
            size = f"{len(message.value or b''):,} bytes are more than the topic takes".encode()
            headers = (*message.headers, (LEFT_OUT, size))
            outcomes = await self._outcomes([evolve(message, value=None, headers=headers)])
            acknowledged = int(_is_acknowledged(outcomes[0]))
        if messages and not acknowledged:
            raise BrokersUnavailable(f"Nothing can be sent: {outcomes[0]}")
        return acknowledged

    async def _outcomes(self, messages: Sequence[OutgoingMessage]) -> Sequence[object]:
        """Send messages; return of each its place, or why it was not acknowledged."""
        producer = self._producer or await self._start()
        try:
            async with asyncio.timeout(_SEND_SECONDS):
                sending = [await _start_sending(producer, message) for message in messages]
                outcomes = await asyncio.gather(*sending, return_exceptions=True)
        except (KafkaError, TimeoutError) as error:
            await self.close()
            raise BrokersUnavailable(f"Nothing can be sent: {error}") from error
        if not all(map(_is_acknowledged, outcomes)):
            # An idempotent producer counts what it sends: after an error it counts wrong.
            await self.close()
        return outcomes

    async def close(self) -> None:
        """Close the producer."""
        self._producer = None
        await self._open.aclose()

    async def _start(self) -> AIOKafkaProducer:
        await ensure_topics(self._brokers, self._topics, self._replication_factor)
        producer = AIOKafkaProducer(
            **self._brokers.options(), enable_idempotence=True, max_request_size=_ANY_SIZE
        )
        await self._open.enter_async_context(
            started(producer.start, producer.stop, lambda: [producer.client.close])
        )
        self._producer = producer
        return producer


async def _start_sending(
    producer: AIOKafkaProducer, message: OutgoingMessage
) -> "asyncio.Future[Any]":
    # The driver refuses a message that has neither key nor value.
    key = b"" if message.key is None and message.value is None else message.key
    acknowledged: asyncio.Future[Any] = await producer.send(
        message.topic, message.value, key=key, headers=[*message.headers]
    )
    return acknowledged


def _is_acknowledged(outcome: object) -> bool:
    return not isinstance(outcome, BaseException)
