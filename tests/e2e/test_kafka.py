"""Kafka on one side, receivers on the other, and everything between them in one process."""

import json
import sqlite3
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from tests.faults.stage import TYPE, Api, Up, running
from tests.faults.verification import verifies
from tests.kafka.servers import PASSWORD, USER, Broker
from tests.kafka.topics import Kafka
from tests.support.receivers import Receiver
from tests.support.waiting import until

EVENTS, FACTS, LETTERS = "job-events", "webhook-events", "notification-dead-letters"


@asynccontextmanager
async def up_with(kafka: Kafka, folder: Path, **settings: str) -> AsyncIterator[tuple[Up, Api]]:
    kafka.group = "notification-management"
    ours = {
        "KAFKA_BROKERS": kafka.brokers,
        "KAFKA_TOPIC_PREFIX": kafka.prefix,
        "KAFKA_CONSUMER_FETCH_BYTES": "1",
        **settings,
    }
    async with running(folder, **ours) as started:
        yield started


def message(api: Api, event_id: str, data: bytes = b"{}") -> bytes:
    fields = b'"event_id":"%b","event":"%b","environment_id":"%b","data":%b' % (
        event_id.encode(),
        TYPE.encode(),
        api.environment.encode(),
        data,
    )
    return b"{%b}" % fields


async def facts(kafka: Kafka, count: int) -> list[Mapping[str, object]]:
    return [json.loads(one.value or b"") for one in await kafka.read(FACTS, count)]


async def test_an_event_from_kafka_is_delivered_signed_and_with_its_data_as_it_came(
    kafka: Kafka, tmp_path: Path
) -> None:
    async with up_with(kafka, tmp_path) as (_, api), Receiver() as receiver:
        await api.subscribe(receiver.url)
        data = b'{ "n":1e2,"n":%b,"z":"\\u0000" }' % (b"9" * 5000)
        await kafka.send(EVENTS, message(api, "e-1", data))
        (request,) = await receiver.wait_for(1)
        assert b'"data":' + data + b"}" in request.body
        assert json.loads(request.body[: request.body.index(b',"data"')] + b"}")["id"] == "e-1"
        assert verifies(request, await api.key())


@pytest.mark.experiment(26, "one event ten times from Kafka")
async def test_one_event_ten_times_is_delivered_once_and_the_first_body_stands(
    kafka: Kafka, tmp_path: Path
) -> None:
    async with up_with(kafka, tmp_path) as (up, api), Receiver() as receiver:
        await api.subscribe(receiver.url)
        again = [message(api, "again", b"1")] * 10
        await kafka.send(EVENTS, *again, message(api, "again", b"2"), message(api, "last", b"3"))
        await receiver.wait_for(2)
        bodies = [json.loads(one.body) for one in receiver.requests]
        assert sorted((one["id"], one["data"]) for one in bodies) == [("again", 1), ("last", 3)]

        async def is_told() -> bool:
            return "event_conflicted" in up.said()

        await until("the conflict is told", is_told)


async def test_cloud_events_of_both_kinds_are_delivered(kafka: Kafka, tmp_path: Path) -> None:
    async with up_with(kafka, tmp_path) as (_, api), Receiver() as receiver:
        await api.subscribe(receiver.url)
        attributes = {
            "specversion": "1.0",
            "id": "cloudy",
            "source": "/jobs",
            "type": TYPE,
            "environmentid": api.environment,
        }
        structured = json.dumps({**attributes, "data": {"kind": "structured"}}).encode()
        await kafka.send(
            EVENTS, structured, headers=[("content-type", b"application/cloudevents+json")]
        )
        attributes["id"] = "binary"
        headers = [(f"ce_{name}", value.encode()) for name, value in attributes.items()]
        await kafka.send(EVENTS, b'{ "kind":"binary" }', headers=headers)
        bodies = [json.loads(one.body) for one in await receiver.wait_for(2)]
        told = {one["id"]: one["data"]["kind"] for one in bodies}
        assert told == {"cloudy": "structured", "binary": "binary"}


@pytest.mark.experiment(27, "sizes from Kafka")
async def test_sizes_up_to_1_mib_are_delivered_and_a_byte_more_is_a_dead_letter(
    kafka: Kafka, tmp_path: Path
) -> None:
    await kafka.create(EVENTS, max_message_bytes="2000000")
    async with up_with(kafka, tmp_path) as (up, api), Receiver() as receiver:
        await api.subscribe(receiver.url)
        room = 1024 * 1024 - len(message(api, "full", b'""'))
        full = message(api, "full", b'"%b"' % (b"x" * room))
        more = message(api, "more", b'"%b"' % (b"x" * (room + 1)))
        await kafka.send(EVENTS, full, more, message(api, "none", b'""'))
        requests = await receiver.wait_for(2)
        assert {len(one.body) > 1024 * 1024 for one in requests} == {True, False}
        (letter,) = await kafka.read(LETTERS, 1)

        async def is_said() -> bool:
            return "message_dead_lettered" in up.said()

        await until("it is said", is_said)
        assert letter.value == more
        assert b"1,048,576" in (dict(letter.headers)["dead-letter-reason"] or b"")


async def test_the_platform_is_told_what_it_should_know(kafka: Kafka, tmp_path: Path) -> None:
    async with up_with(
        kafka, tmp_path, WEBHOOKS_MAX_RETRIES="0", WEBHOOKS_BREAKER_FAILURES="0"
    ) as (_, api):
        async with Receiver(410) as gone, Receiver(500) as failing:
            for_good = await api.subscribe(gone.url)
            for_now = await api.subscribe(failing.url)
            await kafka.send(EVENTS, message(api, "e-1"))
            told = await facts(kafka, 3)
        await api.call("POST", f"environments/{api.environment}/settings/verification-keys", {})
        told = await facts(kafka, 4)
        assert {one["environment_id"] for one in told} == {api.environment}
        said = {(one["event"], _of(one).get("webhook_id")): _of(one) for one in told}
        assert said.keys() == {
            ("webhook-disabled", for_good),
            ("webhook-delivery-failed", for_good),
            ("webhook-delivery-failed", for_now),
            ("verification-key-rotated", None),
        }
        assert said["webhook-disabled", for_good]["reason"] == "gone"
        assert said["webhook-delivery-failed", for_now]["event_id"] == "e-1"


def _of(fact: Mapping[str, object]) -> Mapping[str, object]:
    data = fact["data"]
    assert isinstance(data, dict)
    return data


async def test_without_kafka_nobody_is_told_and_nothing_piles_up(tmp_path: Path) -> None:
    async with (
        running(tmp_path, WEBHOOKS_MAX_RETRIES="0", WEBHOOKS_BREAKER_FAILURES="0") as (up, api),
        Receiver(410) as gone,
    ):
        await api.subscribe(gone.url)
        await api.publish("e-1")
        await gone.wait_for(1)

        async def has_failed() -> bool:
            return [one.state for one in (await up.stored()).deliveries] == ["failed"]

        await until("it has failed", has_failed)
        with closing(sqlite3.connect(up.database)) as database:
            assert database.execute("SELECT count(*) FROM outbox").fetchall() == [(0,)]


@pytest.mark.parametrize(
    ("settings", "least", "most"),
    [
        ({"KAFKA_CONSUMER_FETCH_BYTES": "1", "KAFKA_CONSUMER_FETCH_FREQUENCY": "30s"}, 0, 20),
        ({"KAFKA_CONSUMER_FETCH_BYTES": "1000000", "KAFKA_CONSUMER_FETCH_FREQUENCY": "3s"}, 1, 100),
    ],
)
async def test_a_single_message_waits_for_others_as_long_as_it_is_told_to(
    kafka: Kafka, tmp_path: Path, settings: dict[str, str], least: float, most: float
) -> None:
    async with up_with(kafka, tmp_path, **settings) as (_, api), Receiver() as receiver:
        await api.subscribe(receiver.url)
        # The first one comes somewhere in the middle of a fetch; the second one begins with one.
        times = []
        for number in (1, 2):
            sent_at = time.monotonic()
            await kafka.send(EVENTS, message(api, f"e-{number}"))
            await receiver.wait_for(number)
            times.append(time.monotonic() - sent_at)
        assert least <= times[1] <= most


async def test_a_broker_that_asks_for_a_password_is_given_it_from_a_file(
    kafka: Kafka, tmp_path: Path, broker: Broker
) -> None:
    (tmp_path / "password").write_text(f"{PASSWORD}\n")
    settings = {
        "KAFKA_BROKERS": broker.sasl,
        "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        "KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
        "KAFKA_SASL_USERNAME": USER,
        "KAFKA_SASL_PASSWORD_FILE": str(tmp_path / "password"),
        "KAFKA_SSL_CA_LOCATION": str(broker.authority),
    }
    async with up_with(kafka, tmp_path, **settings) as (up, api), Receiver() as receiver:
        await api.subscribe(receiver.url)
        await kafka.send(EVENTS, message(api, "e-1"))
        await receiver.wait_for(1)
        assert PASSWORD not in up.said()
