"""The lag of a group is known although nobody is in it."""

from aiokafka import AIOKafkaConsumer, TopicPartition

from notification_adapters.clock import SystemClock
from notification_adapters.kafka.config import Brokers, ConsumerConfig
from notification_adapters.kafka.group_lag import GroupLag
from notification_core.model.message import Topics
from notification_entrypoints.serving.background import in_background
from tests.kafka.topics import Kafka
from tests.support.observers import RecordingObserver
from tests.support.ports import free_ports
from tests.support.waiting import until


def _lag_of(kafka: Kafka, observer: RecordingObserver, *addresses: str) -> GroupLag:
    config = ConsumerConfig(topics=Topics(kafka.prefix), group=kafka.group)
    brokers = Brokers(addresses or kafka.addresses)
    return GroupLag(brokers, config, SystemClock(), observer)


async def test_what_is_not_committed_is_known_although_no_consumer_runs(kafka: Kafka) -> None:
    consumed = await kafka.create("job-events", partitions=2)
    await kafka.create("pipeline-events")
    await kafka.send("job-events", *([b"x"] * 5), partition=0)
    await kafka.send("pipeline-events", b"x")
    consumer = AIOKafkaConsumer(
        bootstrap_servers=kafka.brokers, group_id=kafka.group, enable_auto_commit=False
    )
    await consumer.start()
    consumer.assign([TopicPartition(consumed, 0)])
    await consumer.commit({TopicPartition(consumed, 0): 2})
    await consumer.stop()
    group, observer = _lag_of(kafka, RecordingObserver()), RecordingObserver()
    async with in_background(group.run()):

        async def is_known() -> bool:
            return bool(group.lag())

        await until("the lag is known", is_known)
    expected = {(consumed, 0): 3, (consumed, 1): 0, (kafka.topic("pipeline-events"), 0): 1}
    assert group.lag() == expected
    assert observer.errors == []


async def test_without_a_broker_nothing_is_known_and_it_is_reported(kafka: Kafka) -> None:
    observer = RecordingObserver()
    (nowhere,) = free_ports(1)
    group = _lag_of(kafka, observer, f"127.0.0.1:{nowhere}")
    async with in_background(group.run()):

        async def is_reported() -> bool:
            return bool(observer.errors)

        await until("it is reported", is_reported)
    assert group.lag() == {}
    assert {task for task, _ in observer.errors} == {"lag"}
