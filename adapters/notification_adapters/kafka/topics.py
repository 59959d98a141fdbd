"""The topics: made where they are missing."""

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, for_code

from notification_adapters.kafka.client import started
from notification_adapters.kafka.connection import Brokers
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
    missing = await _missing(admin, [*topics.sources, topics.dead_letters, topics.facts])
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
    states = {each["topic"]: each["error_code"] for each in await admin.describe_topics([*names])}
    for name, code in states.items():
        if code not in {0, _UNKNOWN_TOPIC}:
            raise BrokersUnavailable(f"The topic {name} cannot be used: {_said(code)}.")
    return [name for name, code in states.items() if code == _UNKNOWN_TOPIC]


async def _create(admin: AIOKafkaAdminClient, topics: Sequence[NewTopic]) -> None:
    if not topics:
        return
    answer = (await admin.create_topics([*topics])).to_object()
    for each in answer["topic_errors"]:
        code = each["error_code"]
        if code not in {0, _EXISTS}:
            said = each.get("error_message") or _said(code)
            raise BrokersUnavailable(_why_not(each["topic"], code, said))


def _why_not(topic: str, code: int, said: str) -> str:
    advice = (
        "Set KAFKA_TOPIC_REPLICATION_FACTOR to what the cluster has brokers for."
        if code == _REPLICATION
        else "Create it, or let this user do so."
    )
    return f"The topic {topic} cannot be created: {said.rstrip('.')}. {advice}"


async def _max_message_bytes(admin: AIOKafkaAdminClient, names: Iterable[str]) -> int:
    """Return the size of the largest message that one of these topics takes."""
    wanted = {"max.message.bytes": ""}
    resources = [ConfigResource(ConfigResourceType.TOPIC, name, wanted) for name in names]
    answers = [answer.to_object() for answer in await admin.describe_configs(resources)]
    sizes = [
        int(entry["config_value"])
        for answer in answers
        for resource in answer["resources"]
        for entry in _entries(resource)
    ]
    return max(sizes, default=_DEFAULT_MAX_BYTES)


def _entries(resource: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Return what was told of a topic: nothing where this user may not ask."""
    return [] if resource["error_code"] else resource["config_entries"]


def _said(code: int) -> str:
    return str(for_code(code).__name__)
