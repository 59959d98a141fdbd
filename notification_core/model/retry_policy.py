"""What happens to a delivery after an attempt: pure rules, no clock and no chance of their own."""

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from math import inf

from attrs import asdict, evolve, frozen

from notification_core.model.delivery import (
    AttemptError,
    ErrorCode,
    Failed,
    NextStep,
    ReceivedResponse,
    Retry,
)
from notification_core.model.retry_overrides import RetryOverrides
from notification_core.model.webhook import DisabledReason

JITTER = 0.2
"""A delay is lengthened by up to this part of it, never shortened."""

LONGEST_DELAY = timedelta(days=7)
"""No schedule goes further than this, whatever the settings multiply up to."""

_LONGEST_RETRY_AFTER_DIGITS = 10
_THROTTLING = frozenset({429, 503})
_SUCCESS = 2  # a class of status codes: RFC 9110, section 15
# Those that name another address (RFC 9110, section 15.4); 304, for one, does not.
_REDIRECTS = frozenset({300, 301, 302, 303, 307, 308})
_GONE = 410


@frozen
class RetryPolicy:
    """How often and when a failed delivery is retried.

    The first retry comes ``interval`` after the failure, each further one ``backoff`` times
    later than the one before, but not later than ``max_interval``; after ``max_retries`` of them
    the delivery has failed.
    """

    max_retries: int = 3
    interval: timedelta = timedelta(seconds=1)
    backoff: float = 1.0
    max_interval: timedelta = LONGEST_DELAY
    retry_after_max: timedelta = timedelta(hours=1)

    def overridden_by(self, overrides: RetryOverrides | None) -> "RetryPolicy":
        """Return the policy of a webhook: what it does not say itself is as it is here."""
        if overrides is None:
            return self
        own = asdict(overrides, filter=lambda _, value: value is not None)
        return evolve(self, **own)

    def after_failure(
        self, failures: int, jitter: float, retry_after: timedelta | None = None
    ) -> NextStep:
        """Return what happens to a delivery that had failed ``failures`` times and fails again.

        ``jitter`` is a random number in [0, 1). ``retry_after`` is what the receiver asked for:
        it can make the delay longer, up to ``retry_after_max``, and never shorter.
        """
        if failures >= self.max_retries:
            return Failed()
        try:
            seconds = self.interval.total_seconds() * self.backoff**failures
        except OverflowError:
            seconds = inf
        # The bound first: retries at the longest interval are still spread.
        seconds = min(seconds, self.max_interval.total_seconds()) * (1 + JITTER * jitter)
        delay = min(timedelta(seconds=seconds), LONGEST_DELAY)
        return Retry(max(delay, min(retry_after or timedelta(), self.retry_after_max)))


def error_in(response: ReceivedResponse) -> AttemptError | None:
    """Return what is wrong with a response, None for a 2xx."""
    code = response.http_code
    if code // 100 == _SUCCESS:
        return None
    if code == _GONE:
        return AttemptError(ErrorCode.GONE, "The receiver responded with 410 Gone.")
    if code in _REDIRECTS:
        return AttemptError(
            ErrorCode.REDIRECT_NOT_FOLLOWED,
            f"The receiver responded with {code}; redirects are not followed. "
            "Set the webhook's url to where it points.",
        )
    return AttemptError(
        ErrorCode.HTTP_STATUS, f"The receiver responded with {code}; 2xx is expected."
    )


def next_step_after(  # noqa: PLR0913 - everything that the rule depends on, said one by one
    policy: RetryPolicy,
    failures: int,
    error: AttemptError,
    response: ReceivedResponse | None,
    *,
    now: datetime,
    jitter: float,
) -> NextStep:
    """Return what happens to a delivery after a failed attempt, ``failures`` failed before it."""
    if error.code is ErrorCode.GONE:
        return Failed(disables=DisabledReason.GONE)
    if error.code is ErrorCode.DESTINATION_NOT_ALLOWED:
        return Failed()
    retry_after = None
    if response is not None and response.http_code in _THROTTLING:
        values = [value for name, value in response.headers if name.lower() == "retry-after"]
        retry_after = parse_retry_after(values[0], now) if len(values) == 1 else None
    return policy.after_failure(failures, jitter, retry_after)


def parse_retry_after(value: str, now: datetime) -> timedelta | None:
    """Return how long a ``Retry-After`` asks to wait (RFC 9110, section 10.2.3).

    Both forms are read, delay seconds and HTTP date. None where it is malformed or in the past.
    """
    value = value.strip()
    if value.isascii() and value.isdigit():
        seconds = int(value.lstrip("0")[:_LONGEST_RETRY_AFTER_DIGITS] or "0")
        return timedelta(seconds=seconds) if seconds else None
    try:
        at = parsedate_to_datetime(value)
        wait = (at if at.tzinfo else at.replace(tzinfo=UTC)) - now
    except (ValueError, OverflowError):
        return None
    return wait if wait > timedelta() else None
