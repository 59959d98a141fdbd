"""The doors of a broker: TLS, clients' certificates, passwords; what is said where one is shut."""

from pathlib import Path

import pytest
from attrs import evolve

from notification_adapters.clock import SystemClock
from notification_adapters.kafka.config import (
    Brokers,
    ConsumerConfig,
    SaslCredentials,
    SaslMechanism,
    SecurityProtocol,
)
from notification_adapters.kafka.event_source import open_source
from notification_core.errors import BrokersUnavailable
from notification_core.model.message import Topics
from tests.adapters.kafka.members import member, problem_of, taken, values
from tests.kafka.servers import PASSWORD, USER, Broker
from tests.kafka.topics import Kafka
from tests.support.observers import RecordingObserver
from tests.support.waiting import until


def with_tls(broker: Broker) -> Brokers:
    credentials = SaslCredentials(
        ca=broker.authority, certificate=broker.certificate, key=broker.certificate
    )
    return Brokers([broker.tls], SecurityProtocol.SSL, credentials)


def with_password(broker: Broker, mechanism: SaslMechanism, password: str = PASSWORD) -> Brokers:
    credentials = SaslCredentials(mechanism, USER, password, ca=broker.authority)
    return Brokers([broker.sasl], SecurityProtocol.SASL_SSL, credentials)


async def assert_comes_in(kafka: Kafka, brokers: Brokers) -> None:
    await kafka.create("job-events")
    await kafka.send("job-events", b"1")
    async with member(kafka, brokers) as source:
        assert values(await taken(source, 1)) == [b"1"]


async def refusal(kafka: Kafka, brokers: Brokers) -> str:
    """Return what is said of a door that is shut."""
    async with member(kafka, brokers) as source:

        async def said() -> bool:
            return "connecting" not in await problem_of(source)

        await until("it says why", said)
        return await problem_of(source)


async def test_a_client_shows_its_certificate(kafka: Kafka, broker: Broker) -> None:
    await assert_comes_in(kafka, with_tls(broker))


@pytest.mark.parametrize("mechanism", [SaslMechanism.PLAIN, SaslMechanism.SCRAM_SHA_512])
async def test_a_client_shows_its_password(
    kafka: Kafka, broker: Broker, mechanism: SaslMechanism
) -> None:
    await assert_comes_in(kafka, with_password(broker, mechanism))


@pytest.mark.parametrize("mechanism", [SaslMechanism.PLAIN, SaslMechanism.SCRAM_SHA_512])
async def test_a_wrong_password_is_said_and_not_shown(
    kafka: Kafka, broker: Broker, mechanism: SaslMechanism, caplog: pytest.LogCaptureFixture
) -> None:
    said = await refusal(kafka, with_password(broker, mechanism, "another secret"))
    assert "No broker can be reached" in said
    assert "Authentication failed" in caplog.text
    assert "another secret" not in said + caplog.text


async def test_a_broker_whose_certificate_is_not_trusted_is_not_talked_to(
    kafka: Kafka, broker: Broker
) -> None:
    brokers = with_tls(broker)
    strangers = evolve(brokers, credentials=evolve(brokers.credentials, ca=None))
    assert "No broker can be reached" in await refusal(kafka, strangers)


async def test_a_broker_of_another_name_than_its_certificates_is_not_talked_to(
    kafka: Kafka, broker: Broker
) -> None:
    other_name = broker.tls.replace("localhost", "127.0.0.1")
    brokers = evolve(with_tls(broker), addresses=[other_name])
    assert "No broker can be reached" in await refusal(kafka, brokers)


async def test_files_that_cannot_be_used_are_said_at_once(tmp_path: Path, broker: Broker) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("")
    wrong = [
        SaslCredentials(ca=tmp_path / "missing.pem"),
        SaslCredentials(ca=empty),
        SaslCredentials(ca=broker.authority, certificate=broker.certificate, key=empty),
    ]
    for credentials in wrong:
        brokers = Brokers([broker.tls], SecurityProtocol.SSL, credentials)
        opening = open_source(brokers, ConsumerConfig(Topics()), SystemClock(), RecordingObserver())
        with pytest.raises(BrokersUnavailable, match="certificates cannot be used"):
            async with opening:
                pass


def test_no_password_is_in_what_is_printed() -> None:
    credentials = SaslCredentials(SaslMechanism.PLAIN, "me", "a secret", key_password="another one")
    printed = repr(Brokers(["localhost:1"], SecurityProtocol.SASL_SSL, credentials))
    assert "secret" not in printed
    assert "another" not in printed
