"""Deliveries and attempts: one event on its way to one webhook, and each request made of it."""

from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from attrs import field, frozen

from notification_core.model.phases import Phases
from notification_core.model.webhook import DisabledReason

MAX_INTERRUPTIONS = 10
"""Interrupted attempts in a row that end a delivery."""

MAX_DELIVERIES_PER_TRANSACTION = 20_000


class DeliveryState(StrEnum):
    """Where a delivery stands; all but ``pending`` are final."""

    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"


class EndReason(StrEnum):
    """Why a delivery ended in ``failed``, ``skipped`` or ``cancelled``."""

    WEBHOOK_DISABLED = "webhook_disabled"
    WEBHOOK_DELETED = "webhook_deleted"
    QUEUE_FULL = "queue_full"
    FILTER_NOT_MATCHED = "filter_not_matched"
    EXPIRED = "expired"
    INTERRUPTED = "interrupted"
    WEBHOOK_PAUSED = "webhook_paused"


class DeliveryOrigin(StrEnum):
    """Why a delivery was made, where it was not because its event arrived."""

    RETRY = "retry"
    REPLAY = "replay"
    TEST = "test"


class AttemptOutcome(StrEnum):
    """How an attempt ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


class ErrorCode(StrEnum):
    """Why an attempt did not succeed: a closed list."""

    TIMEOUT = "timeout"
    DNS = "dns"
    CONNECT = "connect"
    TLS = "tls"
    DESTINATION_NOT_ALLOWED = "destination_not_allowed"
    REDIRECT_NOT_FOLLOWED = "redirect_not_followed"
    INVALID_RESPONSE = "invalid_response"
    HTTP_STATUS = "http_status"
    GONE = "gone"
    INTERRUPTED = "interrupted"


@frozen
class UnsentDelivery:
    """A delivery that has ended for a reason of its webhook, without another request.

    ``attempts`` is how many there were before.
    """

    environment_id: UUID
    webhook_id: UUID
    delivery_id: UUID
    event_id: str
    event_type: str
    attempts: int
    reason: EndReason


@frozen
class NewDelivery:
    """A delivery to be stored together with its event.

    With ``claimed`` it is stored as taken by the ingesting worker (attempt 1, leased), without it
    as due at once; ``prefetched`` says that this attempt has not begun with that. ``state`` is
    ``pending``, or ``skipped`` with its ``reason``. With an ``ordering_key`` it is not claimed: it
    waits for those of its webhook that were stored with the same key before.
    """

    delivery_id: UUID
    environment_id: UUID
    webhook_id: UUID
    event_id: str
    state: DeliveryState = DeliveryState.PENDING
    reason: EndReason | None = None
    claimed: bool = False
    prefetched: bool = False
    ordering_key: str | None = None

    @property
    def event_key(self) -> tuple[UUID, str]:
        """What its event is found by."""
        return self.environment_id, self.event_id


@frozen
class Fence:
    """What a worker must still hold for its word on a delivery to count: (attempt, worker)."""

    delivery_id: UUID
    environment_id: UUID
    attempt: int
    worker: UUID


TEST_WORKER = UUID(int=0)
"""Who owns the attempts of webhook tests: no process, so only their lease's end frees them."""


@frozen
class ClaimedDelivery:
    """A delivery that this worker has claimed: it may now make attempt number ``attempt``.

    ``failures`` counts the failed attempts so far (interrupted ones do not count). ``body`` is
    what is sent. Of a ``prefetched`` one the attempt is to be begun before its request is made
    (:meth:`DeliveryStore.begin`). If it has an ``ordering_key``, others wait for its end.
    ``traceparent`` is its event's, None where tracing is off.
    """

    fence: Fence
    webhook_id: UUID
    event_id: str
    event_type: str
    failures: int
    body: bytes = field(repr=False)
    prefetched: bool = False
    ordering_key: str | None = None
    traceparent: str | None = field(default=None, repr=False)


@frozen
class SentRequest:
    """The request of an attempt as the log keeps it: secret header values are masked already."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...]


@frozen
class ReceivedResponse:
    """What came back, as the log keeps it; ``body`` is cut, and ``truncated`` says so.

    ``phases`` are those of the request, if its sender measures them: the log has them beside it.
    """

    http_code: int
    headers: tuple[tuple[str, str], ...]
    body: bytes = field(repr=False)
    truncated: bool = False
    phases: Phases | None = field(default=None, eq=False)


@frozen
class AttemptError:
    """Why an attempt did not succeed, in words for the customer."""

    code: ErrorCode
    message: str


INTERRUPTED = AttemptError(
    ErrorCode.INTERRUPTED,
    "The attempt was interrupted on our side; whether the request arrived is not known.",
)
"""The error of every interrupted attempt."""


@frozen
class Attempt:
    """One HTTP request of a delivery that has ended: a row of the webhook log.

    An interrupted one has no request, response, duration or phases: nobody knows them. ``instance``
    names the process that made it; None if whoever logs it does not know. ``phases`` is None if its
    sender does not measure them, or if nothing was connected to.
    """

    log_id: UUID
    environment_id: UUID
    webhook_id: UUID
    delivery_id: UUID
    event_id: str
    event_type: str
    number: int
    outcome: AttemptOutcome
    started_at: datetime
    error: AttemptError | None = None
    request: SentRequest | None = None
    response: ReceivedResponse | None = None
    duration: timedelta | None = None
    next_attempt_at: datetime | None = None
    instance: str | None = None
    phases: Phases | None = None


@frozen
class Succeeded:
    """The delivery has arrived."""


@frozen
class Retry:
    """The delivery is due again ``after`` this, counted by the storage's clock."""

    after: timedelta


@frozen
class Failed:
    """The delivery has failed permanently; with ``disables`` its webhook is disabled as well."""

    reason: EndReason | None = None
    disables: DisabledReason | None = None


NextStep = Succeeded | Retry | Failed
"""What happens to a delivery after an attempt."""


@frozen
class AttemptResult:
    """An attempt that has ended, with what happens to its delivery.

    ``webhook_version`` is the version that was sent to: a webhook that changed meanwhile is not
    disabled for what its former self answered. The attempt's ``next_attempt_at`` is left unset:
    storage writes it from its own clock. With an ``ordering_key`` others may wait for its end.
    """

    fence: Fence
    attempt: Attempt
    next_step: NextStep
    webhook_version: int
    ordering_key: str | None = None
