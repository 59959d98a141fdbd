"""The errors of the product, under one root.

Adapters translate the errors of their drivers into these at their edge, with ``raise … from``.
No message holds a secret, and each says what is wrong and what would be right.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple, Self
from uuid import UUID


class NotificationError(Exception):
    """The root of every error that this package raises on purpose."""


class Detail(NamedTuple):
    """One thing that is wrong with an input: which field, and what would be right.

    Not of attrs, which whoever only verifies would import for this alone: half of the time.
    """

    field: str
    message: str


class InvalidInput(NotificationError, ValueError):
    """An input that is refused; ``details`` names each field that is wrong."""

    def __init__(self, message: str, details: Sequence[Detail] = ()) -> None:
        super().__init__(message)
        self.details = tuple(details)

    @classmethod
    def of(cls, what: str, details: Sequence[Detail]) -> Self:
        """Return the error that ``what`` is refused, whose message has every detail."""
        problems = [f"{detail.field}: {detail.message}" for detail in details]
        return cls(" ".join([f"{what} is refused.", *problems]), details)


class InvalidEvent(InvalidInput):
    """An event that is refused (not JSON, too deep, an envelope of the wrong shape, …)."""


class InvalidPeriod(InvalidInput):
    """A time that statistics cannot be given for."""


class InvalidWebhook(InvalidInput):
    """A webhook whose fields are refused."""


class InvalidFilter(InvalidInput):
    """A filter that cannot be applied; each detail names a place in it."""


class UnrepresentableBody(InvalidInput):
    """A body that no filter can be applied to; the message says why."""


class InvalidReplay(InvalidInput):
    """A replay that selects nothing that could be."""


class InvalidSettings(InvalidInput):
    """Settings that stop the start; one detail for each variable that is wrong."""


class TooLarge(InvalidInput):
    """An input over a size limit; the message says the limit."""


class TooManyDeliveries(TooLarge):
    """A batch of events that fans out into more deliveries than one transaction takes.

    ``fits`` is how many of the batch's first events would be taken.
    """

    def __init__(self, message: str, fits: int) -> None:
        super().__init__(message)
        self.fits = fits


class TooManyWebhooks(NotificationError):
    """The environment has as many webhooks as it may have."""


class WebhookNotFound(NotificationError, LookupError):
    """No such webhook (or it belongs to another environment, which is answered alike)."""

    def __init__(self, webhook_id: UUID) -> None:
        super().__init__(f"There is no webhook {webhook_id}.")
        self.webhook_id = webhook_id


class DeliveryNotFound(NotificationError, LookupError):
    """No such delivery (or it belongs to another environment, which is answered alike)."""

    def __init__(self, delivery_id: UUID) -> None:
        super().__init__(f"There is no delivery {delivery_id}.")
        self.delivery_id = delivery_id


class ReplayNotFound(NotificationError, LookupError):
    """The webhook has no such replay."""

    def __init__(self, replay_id: UUID) -> None:
        super().__init__(f"There is no replay {replay_id} of this webhook.")
        self.replay_id = replay_id


class SigningSecretNotFound(NotificationError, LookupError):
    """The webhook has no such signing secret, or it has expired."""

    def __init__(self, secret_id: UUID) -> None:
        super().__init__(f"There is no signing secret {secret_id} of this webhook.")
        self.secret_id = secret_id


class ReplayRunning(NotificationError):
    """The webhook has a replay that runs: wait until it has ended, or cancel it."""

    def __init__(self, webhook_id: UUID) -> None:
        super().__init__(f"A replay of webhook {webhook_id} is running.")
        self.webhook_id = webhook_id


class EventNotFound(NotificationError, LookupError):
    """No such event in this environment."""

    def __init__(self, event_id: str) -> None:
        super().__init__("There is no such event in this environment.")
        self.event_id = event_id


class EnvironmentNotFound(NotificationError, LookupError):
    """The platform knows no such environment."""

    def __init__(self, environment_id: UUID) -> None:
        super().__init__(f"There is no environment {environment_id}.")
        self.environment_id = environment_id


class EnvironmentBeingErased(NotificationError):
    """All that is of the environment is being deleted: nothing new is taken for it meanwhile."""

    def __init__(self, environment_id: UUID) -> None:
        super().__init__(f"Environment {environment_id} is being erased.")
        self.environment_id = environment_id


class ErasureNotFound(NotificationError, LookupError):
    """The environment is not being erased, and was not."""

    def __init__(self, environment_id: UUID) -> None:
        super().__init__(f"There is no erasure of environment {environment_id}.")
        self.environment_id = environment_id


class DirectoryUnavailable(NotificationError):
    """Nobody can tell now whether an environment exists: nothing was written; try again later."""


class ApiKeyNotFound(NotificationError, LookupError):
    """No such API key."""

    def __init__(self, key_id: UUID) -> None:
        super().__init__(f"There is no API key {key_id}.")
        self.key_id = key_id


class PortalSessionNotFound(NotificationError, LookupError):
    """The environment has no such portal session."""

    def __init__(self, session_id: UUID) -> None:
        super().__init__(f"There is no portal session {session_id}.")
        self.session_id = session_id


class PortalCodeRefused(NotificationError):
    """A one-time code that opens no portal session; the message says why."""

    def __init__(self, message: str = "This link is not valid. Open the portal again.") -> None:
        super().__init__(message)


class SessionEnded(NotificationError):
    """The token of a session that has expired, was revoked, or is not there."""


class CredentialRefused(NotificationError):
    """A credential that proves nothing; the message says why, to whoever holds it."""


class IssuerUnavailable(NotificationError):
    """The keys of the issuer of tokens cannot be had now: nobody can tell whether one is good."""


class InvalidApiKey(InvalidInput):
    """An API key that is not to be made; the details name each field."""


class InvalidPortalSession(InvalidInput):
    """A portal session that is not to be made; the details name each field."""


class WebhookDeleted(NotificationError):
    """The webhook that something is to be sent to was deleted."""

    def __init__(self, webhook_id: UUID) -> None:
        super().__init__(f"Webhook {webhook_id} was deleted: nothing can be sent to it.")
        self.webhook_id = webhook_id


class WebhookDisabled(NotificationError):
    """The webhook that something is to be sent to is disabled: enable it first."""

    def __init__(self, webhook_id: UUID) -> None:
        super().__init__(f"Webhook {webhook_id} is disabled: enable it first.")
        self.webhook_id = webhook_id


class TooManyWebhookTests(NotificationError):
    """As many webhooks are being tried out as may be at once: try again in a moment."""


class EventGone(NotificationError):
    """The event's body is no longer stored, so that it cannot be sent once more."""

    def __init__(self, event_id: str) -> None:
        super().__init__("The body of the event is no longer stored, so it cannot be redelivered.")
        self.event_id = event_id


class DeadLetterNotFound(NotificationError, LookupError):
    """No such dead letter."""

    def __init__(self, letter_id: UUID) -> None:
        super().__init__(f"There is no dead letter {letter_id}.")
        self.letter_id = letter_id


class WebhookChanged(NotificationError):
    """The webhook was changed by somebody else since it was read: read it again."""

    def __init__(self, webhook_id: UUID) -> None:
        super().__init__(f"Webhook {webhook_id} was changed meanwhile; read it again.")
        self.webhook_id = webhook_id


class WebhookOutdated(NotificationError):
    """The webhook is no longer at a version that the caller wants to change."""

    def __init__(self, webhook_id: UUID) -> None:
        super().__init__(f"Webhook {webhook_id} was changed since it was read; read it again.")
        self.webhook_id = webhook_id


class ResponseAlreadyStored(NotificationError):
    """The same request was answered meanwhile: nothing was done, the response can be read."""


class RotationTooSoon(NotificationError):
    """The signing key cannot be rotated yet; the message says when it can."""


class KeysChanged(NotificationError):
    """The environment's keys were changed by somebody else since they were read."""

    def __init__(self, environment_id: UUID) -> None:
        super().__init__(f"The keys of environment {environment_id} were changed meanwhile.")
        self.environment_id = environment_id


class InvalidSignature(NotificationError, ValueError):
    """A request whose signature does not hold; the message says which check failed."""


class UndecipherableText(NotificationError):
    """A stored secret that cannot be decrypted: wrong key, wrong place or changed bytes."""


class WrongEncryptionSecret(NotificationError):
    """The storage was written under another encryption secret."""


class UnwrappingRefused(NotificationError):
    """A wrapped secret is not to be had: another key's, changed, or not ours to have."""


class KeyServiceUnavailable(NotificationError):
    """Who unwraps secrets does not answer now; it may later."""


class RekeyOvertaken(NotificationError):
    """Others encrypt under a previous secret as fast as it is given up."""


class DestinationRefused(NotificationError):
    """A destination that this system does not send to; the message names no inside address."""


class Resource(StrEnum):
    """What this process or its machine can be short of."""

    DESCRIPTORS = "descriptors"
    """File descriptors of the process (EMFILE) or of the host (ENFILE)."""
    MEMORY = "memory"
    """Memory or socket buffers of the kernel (ENOMEM, ENOBUFS)."""
    PORTS = "ports"
    """Local ports for one more connection to the same address (EADDRNOTAVAIL)."""
    RESOLVER = "resolver"
    """Sockets to the name servers."""


_REMEDIES = {
    Resource.DESCRIPTORS: (
        "File descriptors are exhausted: raise the limit of open files (ulimit -n), or lower "
        "WEBHOOKS_MAX_IN_FLIGHT and API_SERVER_MAX_CONNECTIONS."
    ),
    Resource.MEMORY: "The kernel has no memory for one more socket: give the host more memory.",
    Resource.PORTS: (
        "No local port is free for one more connection to a receiver: widen "
        "net.ipv4.ip_local_port_range."
    ),
    Resource.RESOLVER: "The name servers cannot be contacted: check /etc/resolv.conf.",
}


class ResourceShort(NotificationError):
    """Something of this host ran out before a byte of a request was sent: there was no attempt.

    The message says what to do. A resource that is short ``everywhere`` is so for every request.
    """

    def __init__(self, resource: Resource) -> None:
        super().__init__(_REMEDIES[resource])
        self.resource = resource

    @property
    def everywhere(self) -> bool:
        """Tell whether requests to other receivers need the same."""
        return self.resource in {Resource.DESCRIPTORS, Resource.MEMORY}


class StorageUnavailable(NotificationError):
    """The storage is unavailable, busy, full or read-only: nothing was written; try again later."""


class TransactionLost(StorageUnavailable):
    """The storage undid a transaction because of others (a deadlock, a time-out): try it again."""


class UnknownCommit(StorageUnavailable):
    """The storage became unavailable during a commit: it may have happened or not."""


class BrokersUnavailable(NotificationError):
    """The message brokers are unavailable, or not usable as they are set up; they are retried."""


class StorageUnusable(NotificationError):
    """The storage cannot be used as it is (a directory, a corrupt file, a foreign database)."""


class IncompatibleSchema(StorageUnusable):
    """The schema is behind or ahead of this version; the message names the command that helps."""


class WorkerLockLost(NotificationError):
    """A worker's lock is gone, by which others know that it lives."""


class WorkerLockTaken(NotificationError):
    """Another process already dispatches from this storage."""
