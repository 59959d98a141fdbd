"""The topics: made where they are missing, and what is said where they cannot be."""

from collections.abc import Mapping

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from notification_adapters.kafka.config import Brokers
from notification_adapters.kafka.topics import ensure_topics
from notification_core.errors import BrokersUnavailable
from notification_core.model.message import Topics
from tests.kafka.topics import Kafka
from tests.support.waiting import until

NAMES = ("pipeline-events", "job-events", "notification-dead-letters", "webhook-events")


async def ensure(kafka: Kafka, replication_factor: int = 1) -> None:
    await ensure_topics(Brokers([kafka.brokers]), Topics(kafka.prefix), replication_factor)


async def largest(kafka: Kafka) -> Mapping[str, int]:
    """Return how large a message each topic takes, once all are known to the broker."""
    found: dict[str, int] = {}

    async def all_known() -> bool:
        found.update(await _largest(kafka))
        return len(found) == len(NAMES)

    await until("all topics are there", all_known)
    return found


async def _largest(kafka: Kafka) -> Mapping[str, int]:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.brokers)
    await admin.start()
    wanted = {"max.message.bytes": ""}
    (response,) = await admin.describe_configs(
        [ConfigResource(ConfigResourceType.TOPIC, kafka.topic(name), wanted) for name in NAMES]
    )
    await admin.close()
    return {
        each["resource_name"].removeprefix(kafka.prefix): int(entry["config_value"])
        for each in response.to_object()["resources"]
        for entry in each["config_entries"]
    }


async def test_all_topics_are_there_then_and_again_changes_nothing(kafka: Kafka) -> None:
    await ensure(kafka)
    before = await largest(kafka)
    assert before.keys() == set(NAMES)
    await ensure(kafka)
    assert await largest(kafka) == before


async def test_a_dead_letter_may_be_larger_than_the_message_that_it_was(kafka: Kafka) -> None:
    await kafka.create("job-events", max_message_bytes="3000000")
    await ensure(kafka)
    most = await largest(kafka)
    assert most["notification-dead-letters"] == 3_000_000 + 64 * 1024
    assert most["job-events"] == 3_000_000


async def test_a_topic_that_is_there_is_left_as_it_is(kafka: Kafka) -> None:
    await kafka.create("notification-dead-letters", max_message_bytes="5000")
    await ensure(kafka)
    assert (await largest(kafka))["notification-dead-letters"] == 5000


async def test_too_high_a_replication_factor_is_said_with_what_would_help(kafka: Kafka) -> None:
    with pytest.raises(BrokersUnavailable) as refused:
        await ensure(kafka, replication_factor=3)
    said = str(refused.value)
    assert kafka.topic("pipeline-events") in said
    assert "replication factor of 3 cannot be reached" in said
    assert "KAFKA_TOPIC_REPLICATION_FACTOR" in said


async def test_an_impossible_name_is_said(kafka: Kafka) -> None:
    kafka.prefix += "not a name "
    with pytest.raises(BrokersUnavailable, match="not a name"):
        await ensure(kafka)


async def test_without_a_broker_it_says_so() -> None:
    with pytest.raises(BrokersUnavailable, match="No broker can be reached"):
        await ensure_topics(Brokers(["127.0.0.1:1"]), Topics(), 1)
