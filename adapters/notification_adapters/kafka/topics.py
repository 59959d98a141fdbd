"""The topics: created if they are missing, and where a group begins that has never consumed."""

import asyncio
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import CommitFailedError, KafkaError, for_code

from notification_adapters.kafka.client import started
from notification_adapters.kafka.config import Brokers
from notification_core.errors import BrokersUnavailable
from notification_core.model.message import Topics

ROOM_FOR_HEADERS = 64 * 1024
"""A dead letter is its message with some headers more."""

_TIMEOUT_SECONDS = 30.0
_BROKERS_PARTITIONS = -1  # as many as the brokers' num.partitions says
_DEFAULT_MAX_BYTES = 1_048_588  # the brokers' own
_EXISTS, _UNKNOWN_TOPIC, _REPLICATION = 36, 3, 38


async def ensure_topics(brokers: Brokers, topics: Topics, replication_factor: int) -> None:
    """Create the topics that are missing, with as many partitions as the brokers like.

    Raises :class:`BrokersUnavailable`, which says what would help.
    """
    admin = AIOKafkaAdminClient(**brokers.options())
    async with started(admin.start, admin.close):
        try:
            async with asyncio.timeout(_TIMEOUT_SECONDS):
                await _ensure(admin, topics, replication_factor)
        except (KafkaError, TimeoutError) as error:
            raise BrokersUnavailable(f"The topics cannot be looked at: {error}") from error


async def _ensure(admin: AIOKafkaAdminClient, topics: Topics, replication_factor: int) -> None:
    missing = await _missing(
        admin, [*topics.sources, topics.dead_letters, topics.operational_events]
    )
    await _create(
        admin, [NewTopic(name, _BROKERS_PARTITIONS, replication_factor, {})
                for name in missing if name != topics.dead_letters],
    )  # fmt: skip
    if topics.dead_letters in missing:
        most = await _max_message_bytes(admin, topics.sources) + ROOM_FOR_HEADERS
        configs = {"max.message.bytes": str(most)}
        topic = NewTopic(topics.dead_letters, _BROKERS_PARTITIONS, replication_factor, {}, configs)
        await _create(admin, [topic])


async def _missing(admin: AIOKafkaAdminClient, names: Sequence[str]) -> Collection[str]:
    described = await admin.describe_topics([*names])
    states = {topic["topic"]: topic["error_code"] for topic in described}
    for name, code in states.items():
        if code not in {0, _UNKNOWN_TOPIC}:
            raise BrokersUnavailable(f"The topic {name} cannot be used: {_error_name(code)}.")
    return [name for name, code in states.items() if code == _UNKNOWN_TOPIC]


async def _create(admin: AIOKafkaAdminClient, topics: Sequence[NewTopic]) -> None:
    if not topics:
        return
    response = (await admin.create_topics([*topics])).to_object()
    for topic in response["topic_errors"]:
        code = topic["error_code"]
        if code in {0, _EXISTS}:
            continue
        reason = (topic.get("error_message") or _error_name(code)).rstrip(".")
        advice = (
            "Set KAFKA_TOPIC_REPLICATION_FACTOR to what the cluster has brokers for."
            if code == _REPLICATION
            else "Create it, or let this user do so."
        )
        raise BrokersUnavailable(
            f"The topic {topic['topic']} cannot be created: {reason}. {advice}"
        )


async def _max_message_bytes(admin: AIOKafkaAdminClient, names: Iterable[str]) -> int:
    """Return the size of the largest message that one of these topics takes."""
    config = {"max.message.bytes": ""}
    resources = [ConfigResource(ConfigResourceType.TOPIC, name, config) for name in names]
    responses = [response.to_object() for response in await admin.describe_configs(resources)]
    sizes = [
        int(entry["config_value"])
        for response in responses
        for resource in response["resources"]
        if not resource["error_code"]  # else this user may not ask
        for entry in resource["config_entries"]
    ]
    return max(sizes, default=_DEFAULT_MAX_BYTES)


def _error_name(code: int) -> str:
    return str(for_code(code).__name__)


async def begin_at_end(brokers: Brokers, topics: Topics, group: str) -> None:
    """Commit the end of all partitions for a group that has committed nothing at all.

    The driver's own ``latest`` would do so for each partition that is new, and whenever an offset
    is gone: it would skip messages that came while nobody looked.
    """
    try:
        async with asyncio.timeout(_TIMEOUT_SECONDS):
            await _begin_at_end(brokers, topics, group)
    except (KafkaError, TimeoutError) as error:
        raise BrokersUnavailable(f"The group's offsets cannot be read: {error}") from error


async def _begin_at_end(brokers: Brokers, topics: Topics, group: str) -> None:
    consumer = AIOKafkaConsumer(group_id=group, enable_auto_commit=False, **brokers.options())
    async with started(consumer.start, consumer.stop):
        partitions = await _partitions(brokers, topics)
        consumer.assign(partitions)
        committed = [await consumer.committed(partition) for partition in partitions]
        if any(offset is not None for offset in committed):
            return
        # Where it fails, another member has begun at this moment, and has done it.
        with suppress(CommitFailedError):
            await consumer.commit(await consumer.end_offsets(partitions))


async def _partitions(brokers: Brokers, topics: Topics) -> Sequence[TopicPartition]:
    # Without a group a consumer is assigned all that there is.
    consumer = AIOKafkaConsumer(*topics.sources, **brokers.options())
    async with started(consumer.start, consumer.stop):
        return [*consumer.assignment()]
