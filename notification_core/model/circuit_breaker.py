"""The circuit breaker: when a webhook is paused, what is probed meanwhile, and when it goes on.

Pure rules of what is stored of a webhook that is not healthy: a storage keeps a
:class:`WebhookHealth` for it, and nothing for one whose latest attempt succeeded.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID

from attrs import evolve, field, frozen

from notification_core.model.delivery import (
    Attempt,
    AttemptOutcome,
    AttemptResult,
    ErrorCode,
    Failed,
)
from notification_core.model.webhook import Webhook

FAILING_FROM: Final = 3
"""From how many consecutive failures on a webhook is shown as failing."""

_UNREACHABLE: Final = frozenset(
    {
        ErrorCode.TIMEOUT,
        ErrorCode.DNS,
        ErrorCode.CONNECT,
        ErrorCode.TLS,
        ErrorCode.INVALID_RESPONSE,
    }
)
_ENDS_AT_ONCE: Final = frozenset({ErrorCode.GONE, ErrorCode.DESTINATION_NOT_ALLOWED})
# Request Timeout and Too Many Requests say something of the receiver, and not of this event.
_RECEIVER_STATUS: Final = frozenset({408, 429})
_SERVER_ERROR: Final = 5  # a class of status codes: RFC 9110, section 15


class HealthState(StrEnum):
    """How a webhook is doing; nothing but probes is sent to one that is ``paused``."""

    HEALTHY = "healthy"
    FAILING = "failing"
    PAUSED = "paused"


@frozen
class BreakerPolicy:
    """When the breaker opens, and how often a paused webhook is probed.

    It opens after so many ``failures`` in a row; 0 turns it off. Probes come ``pause`` after it has
    opened, each further one after twice the time, up to ``max_pause``.
    """

    failures: int = 10
    pause: timedelta = timedelta(seconds=10)
    max_pause: timedelta = timedelta(minutes=5)

    @property
    def is_on(self) -> bool:
        """Whether webhooks are paused at all."""
        return self.failures > 0


def _ignore(*_: object) -> None:
    """Take no notice."""


@frozen
class CircuitBreaker:
    """The policy by which results are written, and who hears of webhooks that it pauses.

    They are called once it is in storage: ``on_change`` if a webhook is ``paused``, or ``healthy``
    again, ``on_wait`` with the id of a delivery that waits for its webhook.
    """

    policy: BreakerPolicy = BreakerPolicy()
    on_change: Callable[[UUID, HealthState], None] = field(default=_ignore, eq=False)
    on_wait: Callable[[UUID], None] = field(default=_ignore, eq=False)


NO_BREAKER: Final = CircuitBreaker(BreakerPolicy(failures=0))
"""Pauses nothing."""


@frozen
class ProbeSchedule:
    """When deliveries of a paused webhook are probed: one at a time, over all processes.

    The next that waits may be probed from ``next_at`` on, and again ``pause`` after that failed.
    One that was stored since ``paused_at`` may be probed before its turn, from ``fresh_at`` on.
    Until ``leased_until``, if that is to come, ``probe_id`` is being probed.
    """

    paused_at: datetime
    pause: timedelta
    next_at: datetime
    fresh_at: datetime
    probe_id: UUID | None = None
    leased_until: datetime | None = None

    def ready_at(self) -> datetime:
        """Return from when on the next delivery that waits may be probed."""
        return self.next_at if self.leased_until is None else max(self.next_at, self.leased_until)

    def may_probe_fresh(self, now: datetime) -> bool:
        """Tell whether a delivery stored since it was paused may be probed before its turn."""
        return self.fresh_at <= now and (self.leased_until is None or self.leased_until <= now)


@frozen
class WebhookHealth:
    """What is stored of a webhook whose latest attempt that counts has failed.

    ``failures`` counts these in a row; the first of them is ``first_log_id``, stored ``since``.
    ``probes`` is there while the webhook is paused.
    """

    failures: int
    since: datetime
    first_log_id: UUID
    probes: ProbeSchedule | None = None

    @property
    def state(self) -> HealthState:
        """How the webhook is doing, as it is shown."""
        if self.probes:
            return HealthState.PAUSED
        return HealthState.FAILING if self.failures >= FAILING_FROM else HealthState.HEALTHY


@frozen
class HealthChange:
    """What an attempt makes of its webhook's health (None: it is healthy), and of its delivery.

    A delivery that ``waits`` uses no retry: it is due again behind the others that wait.
    """

    health: WebhookHealth | None
    waits: bool = False


def closes_breaker(before: Webhook, after: Webhook) -> bool:
    """Tell whether a change of a webhook makes what its receiver did before worth nothing."""
    return (before.url, before.custom_headers, before.disabled_until) != (
        after.url,
        after.custom_headers,
        after.disabled_until,
    )


def counts_as_failure(attempt: Attempt) -> bool:
    """Tell whether an attempt speaks against its receiver, and not against its event alone.

    A receiver that answers with another 3xx or 4xx is alive, and rejects this event.
    """
    if attempt.outcome is not AttemptOutcome.FAILED or attempt.error is None:
        return False
    if attempt.error.code is not ErrorCode.HTTP_STATUS:
        return attempt.error.code in _UNREACHABLE
    status = attempt.response.http_code if attempt.response else 0
    return status in _RECEIVER_STATUS or status // 100 == _SERVER_ERROR


def after_result(
    health: WebhookHealth | None,
    result: AttemptResult,
    first_log_id: UUID,
    policy: BreakerPolicy,
    now: datetime,
) -> HealthChange:
    """Return what an attempt makes of its webhook's health, in the order in which results commit.

    ``first_log_id`` is the first attempt of the same delivery. The breaker opens after as many
    failures in a row as the policy says, or when a delivery has used its retries and no attempt
    has succeeded since its first one.
    """
    attempt = result.attempt
    if attempt.outcome is AttemptOutcome.SUCCEEDED:
        return HealthChange(None)
    counts = counts_as_failure(attempt)
    if counts:
        health = _with_failure(health, attempt, now)
    if health is None:
        return HealthChange(None)
    if health.probes is None:
        # A delivery that ends by a failure that counts has used its retries.
        is_used_up = isinstance(result.next_step, Failed) and first_log_id >= health.first_log_id
        if counts and (health.failures >= policy.failures or is_used_up):
            next_at = now + policy.pause
            health = evolve(health, probes=ProbeSchedule(now, policy.pause, next_at, fresh_at=now))
    elif health.probes.probe_id == attempt.delivery_id:
        if attempt.outcome is AttemptOutcome.INTERRUPTED:
            probes = evolve(health.probes, probe_id=None, leased_until=None)
        else:
            probes = _after_failed_probe(health.probes, policy, now, factor=2 if counts else 1)
        health = evolve(health, probes=probes)
    is_failed = attempt.outcome is AttemptOutcome.FAILED
    ends_at_once = attempt.error is not None and attempt.error.code in _ENDS_AT_ONCE
    return HealthChange(health, health.probes is not None and is_failed and not ends_at_once)


def _with_failure(health: WebhookHealth | None, attempt: Attempt, now: datetime) -> WebhookHealth:
    if health is None:
        return WebhookHealth(1, now, attempt.log_id)
    first = min(health.first_log_id, attempt.log_id)
    return evolve(health, failures=health.failures + 1, first_log_id=first)


def _after_failed_probe(
    probes: ProbeSchedule, policy: BreakerPolicy, now: datetime, *, factor: int
) -> ProbeSchedule:
    """Plan the next probe; one that came before its turn leaves the turn of the others as it is."""
    probes = evolve(probes, probe_id=None, leased_until=None, fresh_at=now + policy.pause)
    if now < probes.next_at:
        return probes
    pause = min(probes.pause * factor, max(policy.pause, policy.max_pause))
    return evolve(probes, pause=pause, next_at=now + pause)
