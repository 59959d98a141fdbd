"""A consumer of a real Kafka for tests, with the API beside it that its webhooks are made by."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from random import Random

from attrs import define, field

from tests.faults.history import Published
from tests.faults.place import Place
from tests.faults.stage import TYPE, Api, Up, api_of
from tests.kafka.topics import Kafka

EVENTS = "job-events"
LETTERS = "notification-dead-letters"
FACTS = "webhook-events"
GROUP = "notification-management"

_BETWEEN_LOOKS = 0.25
_LAG = re.compile(r"^notification_kafka_consumer_lag_messages{.*} ([0-9.]+)", re.MULTILINE)

# One of each kind that has to be told from an event; None is a message without a value.
POISON: Sequence[bytes | None] = [
    None,
    b"",
    b"not JSON",
    b'{"event":"job-created"',
    b'{"event":"job-created","data":{}}',
    b'{"event":"job-created","event":"job-created","data":{}}',
    b"[" * 10_000,
    b"\xff\xfe",
    b'{"event":"job-created","environment_id":"5","data":{}}',
    b'"' + b"x" * 1_048_576 + b'"',
    *(
        b'{"event":"job-created","environment_id":"0b6f2e0c-5d0c-4d7e-8a57-2f7a3f0f6f10","data":'
        + data
        for data in (b"NaN}", b'"\\ud800"}', b"1e999}", b"[" * 70 + b"]" * 70 + b"}")
    ),
]


@define
class Account:
    """What was sent to the topic of events, and what the API was given ``beside``."""

    environment: str
    published: list[Published] = field(factory=list)
    poison: list[bytes | None] = field(factory=list)
    beside: list[Published] = field(factory=list)

    @property
    def sent(self) -> int:
        """How many messages that makes."""
        return len(self.published) + len(self.poison)


def event(account: Account) -> bytes:
    """Return an event that nobody else has the id of, and enter it into the account."""
    event_id = f"event-{len(account.published):05}"
    account.published.append(Published(event_id, account.environment, TYPE, acknowledged=True))
    made = {
        "event_id": event_id,
        "event": TYPE,
        "environment_id": account.environment,
        "occurred_at": "2026-01-01T00:00:00Z",
        "data": {"name": event_id},
    }
    return json.dumps(made).encode()


@define
class Stage:
    """Consumers, the API that shares their storage, and Kafka."""

    consumers: Sequence[Up]
    api: Api
    kafka: Kafka
    place: Place

    @property
    def consumer(self) -> Up:
        """The only consumer, or the first one."""
        return self.consumers[0]

    async def produce(self, account: Account, count: int, random: Random, every: int = 20) -> None:
        """Send so many events to random partitions, with poison among them."""
        for _ in range(count // every):
            partition = random.randrange(4)
            values: list[bytes | None] = [event(account) for _ in range(every)]
            poison = random.choice(POISON)
            account.poison.append(poison)
            values.insert(random.randrange(every), poison)
            await self.kafka.send(EVENTS, *values, partition=partition, key=b"k")

    async def publish_beside(self, account: Account, count: int) -> None:
        """Have the API take so many events, one after the other."""
        for number in range(count):
            event_id = f"beside-{number:05}"
            await self.api.publish(event_id)
            account.beside.append(Published(event_id, account.environment, TYPE, acknowledged=True))

    async def is_caught_up(self, account: Account) -> bool:
        """Tell whether the group has committed all that was sent, and the consumer says so too."""
        await asyncio.sleep(_BETWEEN_LOOKS)
        committed = await self.kafka.committed(EVENTS)
        if sum(committed.values()) != account.sent:
            return False
        lags = await self.lags()
        return len(lags) == 5 and not sum(lags)  # one partition is of the other topic

    async def is_delivered(self, account: Account) -> bool:
        """Tell whether all events are stored, and all deliveries at their end."""
        there = await self.place.count("SELECT count(*) FROM events")
        published = len(account.published) + len(account.beside)
        return there == published and await self.place.is_done()

    async def lags(self) -> Sequence[float]:
        """Return how far behind each partition is that a consumer has."""
        said = "".join([await one.metrics() for one in self.consumers])
        return [float(lag) for lag in _LAG.findall(said)]


@asynccontextmanager
async def consuming(
    folder: Path,
    kafka: Kafka,
    place: Place,
    tampering: Sequence[str] = (),
    *options: str,
    count: int = 1,
    **settings: str,
) -> AsyncIterator[Stage]:
    """Run consumers on a topic of four partitions, with the API beside them."""
    await kafka.create(EVENTS, partitions=4, max_message_bytes="3000000")
    shared = {
        "KAFKA_BROKERS": kafka.brokers,
        "KAFKA_TOPIC_PREFIX": kafka.prefix,
        "KAFKA_CONSUMER_FETCH_FREQUENCY": "20ms",
        "PROJECT_MANAGEMENT_API_URI": "",
        "WEBHOOKS_ALLOWED_NETWORKS": "127.0.0.0/8",
        **settings,
    }
    server = Up(folder, shared, command="api", place=place)
    consumers = [
        Up(
            folder / f"consumer-{number}",
            shared,
            "consumer",
            options=options,
            place=place,
            tampering=tampering,
        )
        for number in range(count)
    ]
    async with AsyncExitStack() as stack:
        await Up(folder, shared, "migrate", place=place).ended_well()
        for process in (server, *consumers):
            stack.push_async_callback(process.close)
            await process.start()
        api = await stack.enter_async_context(api_of(server))
        yield Stage(consumers, api, kafka, place)
