"""A load for Kafka, a process of its own: events that are all encoded before the clock starts.

``python -m tests.benchmarks.producing BROKERS TOPIC ENVIRONMENT COUNT SIZE``.
"""

import asyncio
import json
import sys
import time
from collections.abc import Coroutine, Iterator, Sequence
from datetime import UTC, datetime

import uvloop
from aiokafka import AIOKafkaProducer
from aiokafka.producer.message_accumulator import BatchBuilder

from tests.benchmarks.load import event, timed

PARTITIONS = 4
_BATCH_BYTES = 262_144


async def produced(
    brokers: str, topic: str, environment: str, count: int, size: int
) -> Coroutine[None, None, None]:
    """Pack ``count`` events, and return what sends them to all partitions alike."""
    producer = AIOKafkaProducer(
        bootstrap_servers=brokers.split(","),
        acks="all",
        max_batch_size=_BATCH_BYTES,
        max_request_size=2 * _BATCH_BYTES,
    )
    await producer.start()
    shares = [range(each, count, PARTITIONS) for each in range(PARTITIONS)]
    packed = [list(_packed(producer, share, environment, size)) for share in shares]
    return _send(producer, topic, packed)


def _packed(
    producer: AIOKafkaProducer, numbers: range, environment: str, size: int
) -> Iterator[BatchBuilder]:
    batch = producer.create_batch()
    for number in numbers:
        value = _message(number, environment, size)
        if batch.append(key=None, value=value, timestamp=None) is None:
            yield batch
            batch = producer.create_batch()
            batch.append(key=None, value=value, timestamp=None)
    yield batch


def _message(number: int, environment: str, size: int) -> bytes:
    told = {"environment_id": environment, "occurred_at": datetime.now(UTC).isoformat()}
    return json.dumps(event(number, size) | told, separators=(",", ":")).encode()


async def _send(
    producer: AIOKafkaProducer, topic: str, packed: Sequence[Sequence[BatchBuilder]]
) -> None:
    print(json.dumps({"started_at": time.time()}), flush=True)
    try:
        sent = [
            await producer.send_batch(batch, topic, partition=partition)
            for partition, batches in enumerate(packed)
            for batch in batches
        ]
        await asyncio.gather(*sent)
    finally:
        await producer.stop()


async def main(brokers: str, topic: str, environment: str, count: str, size: str) -> None:
    """Send the events, and print when that began and how long it took."""
    await timed(await produced(brokers, topic, environment, int(count), int(size)))


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
