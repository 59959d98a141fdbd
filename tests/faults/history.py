"""What is known of a run: what its producer, its receivers and its storage say of it."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from attrs import frozen


@frozen
class Published:
    """What a producer published; if it was not acknowledged, it may be stored or not."""

    event_id: str
    environment_id: str
    type: str
    acknowledged: bool


@frozen
class Seen:
    """A request as a receiver saw it; ``answered`` is the status that it gave, None for none."""

    delivery_id: str
    attempt: int
    message_id: str
    timestamp: int
    body_sha256: str
    verified: bool
    received_at: datetime
    answered: int | None


@frozen
class StoredEvent:
    """An event in storage; one that no webhook wanted has no body."""

    event_id: str
    environment_id: str
    type: str
    stored_at: datetime
    body_sha256: str | None


@frozen
class StoredWebhook:
    """A webhook in storage, the deleted ones too; ``max_retries`` where it has its own."""

    webhook_id: str
    environment_id: str
    events: frozenset[str]
    created_at: datetime
    deleted_at: datetime | None = None
    max_retries: int | None = None


@frozen
class StoredDelivery:
    """A delivery in storage; ``held`` where a worker has it, ``reason`` where it has one.

    ``origin`` says why it was made where it was not because its event arrived. One that is
    delivered in order has an ``ordering_key``, and a ``position`` among those of its webhook.
    ``failures`` counts the attempts that have used a retry, or the last of them.
    """

    delivery_id: str
    webhook_id: str
    environment_id: str
    event_id: str
    state: str
    attempt: int
    held: bool = False
    reason: str | None = None
    origin: str | None = None
    ordering_key: str | None = None
    position: int = 0
    failures: int | None = None


@frozen
class StoredAttempt:
    """An attempt in storage, and its error's code; an interrupted one has no duration."""

    delivery_id: str
    number: int
    outcome: str
    started_at: datetime
    duration: timedelta | None = None
    error: str | None = None


@frozen
class StoredCount:
    """How many ``attempts`` or ``deliveries`` of a webhook its statistics have of an outcome."""

    webhook_id: str
    kind: str
    outcome: str
    count: int


@frozen
class Stored:
    """The final state of the storage; ``counts`` is None where statistics are not kept by all."""

    events: Sequence[StoredEvent] = ()
    webhooks: Sequence[StoredWebhook] = ()
    deliveries: Sequence[StoredDelivery] = ()
    attempts: Sequence[StoredAttempt] = ()
    counts: Sequence[StoredCount] | None = None


@frozen
class Allowed:
    """What the run may have repeated: by its retries, and by what was done to it.

    ``kills`` tells when a process was killed, or hung for longer than its lease; each may have
    interrupted as many attempts as were in flight. ``timeout`` is how long a response was waited
    for, where a receiver may take longer: what it says then is not heard. With ``probes``, webhooks
    may have been paused: failed attempts that used no retry are allowed.
    """

    max_retries: int = 3
    max_in_flight: int = 512
    kills: Sequence[datetime] = ()
    timeout: timedelta | None = None
    probes: bool = False


@frozen
class History:
    """All that is known of a run."""

    published: Sequence[Published] = ()
    seen: Sequence[Seen] = ()
    stored: Stored = Stored()
    allowed: Allowed = Allowed()
