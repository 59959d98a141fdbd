"""Kafka: events from its topics, and messages to them."""

from notification_adapters.kafka.connection import (
    Brokers,
    Credentials,
    SaslMechanism,
    SecurityProtocol,
)
from notification_adapters.kafka.reading import MessageReader
from notification_adapters.kafka.source import Consumption, KafkaSource, Start, open_source

__all__ = [
    "Brokers",
    "Consumption",
    "Credentials",
    "KafkaSource",
    "MessageReader",
    "SaslMechanism",
    "SecurityProtocol",
    "Start",
    "open_source",
]
