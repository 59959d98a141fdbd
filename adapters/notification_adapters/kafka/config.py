"""How the brokers are reached and authenticated to, and what is consumed from them."""

import ssl
from collections.abc import Mapping, Sequence
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

from attrs import field, frozen

from notification_core.errors import BrokersUnavailable
from notification_core.model.message import Topics

CLIENT_ID = "notification-management"
GROUP = "notification-management"
MIB = 1024 * 1024
REQUEST_TIMEOUT = timedelta(seconds=40)
RETRY_BACKOFF = timedelta(seconds=1)
"""At the driver's own 100 ms it writes 80 error lines a second while brokers are unavailable."""


class SecurityProtocol(StrEnum):
    """How a connection is protected, as Kafka calls it."""

    PLAINTEXT = "PLAINTEXT"
    SSL = "SSL"
    SASL_PLAINTEXT = "SASL_PLAINTEXT"
    SASL_SSL = "SASL_SSL"

    @property
    def encrypts(self) -> bool:
        """Whether the connection is TLS."""
        return self in {SecurityProtocol.SSL, SecurityProtocol.SASL_SSL}

    @property
    def authenticates(self) -> bool:
        """Whether a user name and a password are asked for."""
        return self in {SecurityProtocol.SASL_PLAINTEXT, SecurityProtocol.SASL_SSL}


class SaslMechanism(StrEnum):
    """How a user name and a password are shown to be right, as Kafka calls it."""

    PLAIN = "PLAIN"
    SCRAM_SHA_256 = "SCRAM-SHA-256"
    SCRAM_SHA_512 = "SCRAM-SHA-512"


@frozen
class SaslCredentials:
    """What a connection is made with.

    ``ca`` is who is trusted, where that is not whom the host trusts; ``certificate`` and
    ``key`` are the client's own, for brokers that ask for them. All three are PEM files.
    """

    mechanism: SaslMechanism = SaslMechanism.PLAIN
    username: str = ""
    password: str = field(default="", repr=False)
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    key_password: str = field(default="", repr=False)


@frozen
class Brokers:
    """Where the brokers are, as ``host:port`` to begin with, and how one is let in."""

    addresses: Sequence[str]
    protocol: SecurityProtocol = SecurityProtocol.PLAINTEXT
    credentials: SaslCredentials = SaslCredentials()

    def options(self) -> Mapping[str, Any]:
        """Return what each of the driver's clients is made with.

        Raises :class:`BrokersUnavailable` where a file is missing or holds something else.
        """
        options: dict[str, Any] = {
            "bootstrap_servers": list(self.addresses),
            "client_id": CLIENT_ID,
            "security_protocol": self.protocol.value,
            "request_timeout_ms": milliseconds(REQUEST_TIMEOUT),
            "retry_backoff_ms": milliseconds(RETRY_BACKOFF),
        }
        if self.protocol.encrypts:
            options["ssl_context"] = _context(self.credentials)
        if self.protocol.authenticates:
            options["sasl_mechanism"] = self.credentials.mechanism.value
            options["sasl_plain_username"] = self.credentials.username
            options["sasl_plain_password"] = self.credentials.password
        return options


class Start(StrEnum):
    """Where a group begins that has never consumed."""

    EARLIEST = "earliest"
    LATEST = "latest"


@frozen
class ConsumerConfig:
    """What is consumed, and how.

    A fetch waits for ``fetch_bytes``, and for ``fetch_wait`` at most.
    """

    topics: Topics
    replication_factor: int = 1
    fetch_bytes: int = MIB
    fetch_wait: timedelta = timedelta(milliseconds=250)
    start: Start = Start.EARLIEST
    group: str = GROUP


def milliseconds(duration: timedelta) -> int:
    """Return a duration as the driver wants it."""
    return duration // timedelta(milliseconds=1)


def _context(credentials: SaslCredentials) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=credentials.ca)
        if credentials.certificate:
            # Without a password the driver must not ask for one on the terminal.
            password = credentials.key_password
            context.load_cert_chain(credentials.certificate, credentials.key, lambda: password)
    except OSError as error:  # ssl.SSLError is one too
        raise BrokersUnavailable(
            f"The files of Kafka's certificates cannot be used: {error.strerror or error}."
        ) from error
    return context
