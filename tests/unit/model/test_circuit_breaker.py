"""The circuit breaker as a rule: whatever results come, in whatever order."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from notification_core.model.circuit_breaker import (
    FAILING_FROM,
    BreakerPolicy,
    HealthState,
    WebhookHealth,
    after_result,
    closes_breaker,
    counts_as_failure,
)
from notification_core.model.delivery import (
    Attempt,
    AttemptError,
    AttemptOutcome,
    AttemptResult,
    ErrorCode,
    Failed,
    Fence,
    NextStep,
    ReceivedResponse,
    Retry,
    Succeeded,
)
from notification_core.model.webhook import DisabledReason
from tests.support.samples import a_webhook

NOW = datetime(2026, 11, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
NOBODY = UUID(int=0)

Kind = tuple[AttemptOutcome, ErrorCode | None, int | None]

SUCCESS: Kind = (AttemptOutcome.SUCCEEDED, None, 200)
INTERRUPTION: Kind = (AttemptOutcome.INTERRUPTED, ErrorCode.INTERRUPTED, None)
COUNTED: list[Kind] = [
    (AttemptOutcome.FAILED, ErrorCode.TIMEOUT, None),
    (AttemptOutcome.FAILED, ErrorCode.DNS, None),
    (AttemptOutcome.FAILED, ErrorCode.CONNECT, None),
    (AttemptOutcome.FAILED, ErrorCode.TLS, None),
    (AttemptOutcome.FAILED, ErrorCode.INVALID_RESPONSE, None),
    *((AttemptOutcome.FAILED, ErrorCode.HTTP_STATUS, code) for code in (408, 429, 500, 503, 599)),
]
NEUTRAL: list[Kind] = [
    *((AttemptOutcome.FAILED, ErrorCode.HTTP_STATUS, code) for code in (304, 400, 401, 404, 422)),
    (AttemptOutcome.FAILED, ErrorCode.REDIRECT_NOT_FOLLOWED, 302),
    (AttemptOutcome.FAILED, ErrorCode.GONE, 410),
    (AttemptOutcome.FAILED, ErrorCode.DESTINATION_NOT_ALLOWED, None),
    INTERRUPTION,
]
ENDS_AT_ONCE = {ErrorCode.GONE, ErrorCode.DESTINATION_NOT_ALLOWED}

policies = st.builds(
    BreakerPolicy,
    failures=st.integers(1, 12),
    pause=st.integers(1, 60).map(lambda seconds: seconds * SECOND),
    max_pause=st.integers(1, 600).map(lambda seconds: seconds * SECOND),
)
kinds = st.sampled_from([SUCCESS, *COUNTED, *NEUTRAL])
steps = st.lists(st.tuples(kinds, st.integers(1, 4), st.booleans(), st.integers(0, 90)))


def a_result(kind: Kind, number: int, delivery: int, *, is_last: bool = False) -> AttemptResult:
    outcome, code, status = kind
    error = None if code is None else AttemptError(ErrorCode(code), "")
    attempt = Attempt(
        log_id=UUID(int=number),
        environment_id=NOBODY,
        webhook_id=NOBODY,
        delivery_id=UUID(int=delivery),
        event_id="e",
        event_type="t",
        number=1,
        outcome=outcome,
        started_at=NOW,
        error=error,
        response=None if status is None else ReceivedResponse(status, (), b""),
    )
    step: NextStep = Succeeded() if error is None else Failed() if is_last else Retry(SECOND)
    if code is ErrorCode.GONE:
        step = Failed(disables=DisabledReason.GONE)
    elif code is ErrorCode.DESTINATION_NOT_ALLOWED:
        step = Failed()
    return AttemptResult(Fence(UUID(int=delivery), NOBODY, 1, NOBODY), attempt, step, 1)


@pytest.mark.parametrize("kind", [SUCCESS, *COUNTED, *NEUTRAL])
def test_only_what_speaks_against_the_receiver_counts(kind: Kind) -> None:
    assert counts_as_failure(a_result(kind, 1, 1).attempt) is (kind in COUNTED)


@given(steps, policies)
def test_whatever_comes_it_is_paused_only_by_failures_and_resumed_by_a_success(
    steps: list[tuple[Kind, int, bool, int]], policy: BreakerPolicy
) -> None:
    health: WebhookHealth | None = None
    now, in_a_row = NOW, 0
    for number, (kind, delivery, is_last, seconds) in enumerate(steps, 1):
        now += seconds * SECOND
        before = health
        # Of one whose first attempt lies before all of this, others may have succeeded since.
        result = a_result(kind, number, delivery, is_last=is_last)
        change = after_result(before, result, UUID(int=0), policy, now)
        health = change.health
        in_a_row = 0 if kind == SUCCESS else in_a_row + (kind in COUNTED)
        assert (health.failures if health else 0) == in_a_row
        was_paused, is_paused = before and before.probes, health and health.probes
        if kind == SUCCESS:
            assert health is None
        elif was_paused:
            assert is_paused, "only a success ends it"
        else:
            assert bool(is_paused) is (kind in COUNTED and in_a_row >= policy.failures)
        error = result.attempt.error
        uses_none = bool(is_paused) and result.attempt.outcome is AttemptOutcome.FAILED
        assert change.waits is (uses_none and error is not None and error.code not in ENDS_AT_ONCE)
        if health and not is_paused:
            failing = health.failures >= FAILING_FROM
            assert health.state is (HealthState.FAILING if failing else HealthState.HEALTHY)


@given(policies, st.lists(st.tuples(st.sampled_from(COUNTED), st.booleans()), max_size=20))
def test_pauses_grow_up_to_the_longest_and_a_probe_before_its_turn_changes_none(
    policy: BreakerPolicy, probes: list[tuple[Kind, bool]]
) -> None:
    policy = evolve(policy, failures=1)
    health = after_result(None, a_result(COUNTED[0], 1, 1), UUID(int=1), policy, NOW).health
    longest, now, pause = max(policy.pause, policy.max_pause), NOW, policy.pause
    for number, (kind, in_turn) in enumerate(probes, 2):
        assert health is not None
        assert health.probes is not None
        before = health.probes
        now = before.next_at if in_turn else max(now, before.next_at - SECOND / 2)
        started = evolve(before, probe_id=UUID(int=number), leased_until=now + SECOND)
        assert started.ready_at() >= now + SECOND
        assert not started.may_probe_fresh(now)
        result = a_result(kind, number, number, is_last=True)
        change = after_result(evolve(health, probes=started), result, UUID(int=1), policy, now)
        health = change.health
        assert change.waits
        assert health is not None
        assert health.probes is not None
        after = health.probes
        assert (after.probe_id, after.leased_until) == (None, None)
        assert after.fresh_at == now + policy.pause
        if now < before.next_at:
            assert (after.pause, after.next_at) == (before.pause, before.next_at)
        else:
            pause = min(2 * pause, longest)
            assert (after.pause, after.next_at) == (pause, now + pause)


def test_a_delivery_without_retries_left_pauses_if_none_has_succeeded_since_its_first_attempt() -> (
    None
):
    policy = BreakerPolicy(failures=100)
    health = after_result(None, a_result(COUNTED[0], 5, 1), UUID(int=5), policy, NOW).health
    assert health is not None
    last = a_result(COUNTED[0], 6, 1, is_last=True)
    since = after_result(health, last, UUID(int=5), policy, NOW)
    assert (since.health is not None and since.health.probes is not None, since.waits) == (
        True,
        True,
    )
    before = after_result(health, last, UUID(int=4), policy, NOW)
    assert before.health is not None
    assert (before.health.probes, before.waits) == (None, False)


def test_of_the_changes_of_a_webhook_only_some_make_it_worth_another_try() -> None:
    webhook = a_webhook(NOBODY)
    for changes in (
        {"url": "https://other.example.com/"},
        {"custom_headers": {"x-key": "1"}},
        {"disabled_until": NOW},
    ):
        assert closes_breaker(webhook, evolve(webhook, **changes))
    assert not closes_breaker(webhook, evolve(webhook, name="other", description="x"))
