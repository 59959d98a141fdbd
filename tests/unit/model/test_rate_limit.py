"""Rate limits: what claims are granted, whoever makes them and whenever."""

from datetime import datetime, timedelta
from itertools import pairwise

from hypothesis import example, given
from hypothesis import strategies as st

from notification_core.model.rate_limit import (
    BATCH,
    GRACE,
    LEAD,
    MAX_RATE_LIMIT,
    RETRY,
    RateGrant,
    batch_size,
    grant,
    nothing_granted,
    opens_again_at,
    opens_at,
)
from tests.support.samples import NOW

SECOND = timedelta(seconds=1)
LIMITS = st.integers(1, MAX_RATE_LIMIT)
# When the next claim is made, how much it would take, and what part of that it finds.
CLAIMS = st.lists(
    st.tuples(st.timedeltas(timedelta(0), 3 * SECOND), st.integers(0, 500), st.integers(0, 500)),
    max_size=50,
)


def _claims(limit: int, claims: list[tuple[timedelta, int, int]]) -> list[RateGrant]:
    now, next_at, grants = NOW, None, list[RateGrant]()
    for pause, wanted, found in claims:
        now += pause
        taken = grant(next_at, limit, now, wanted).cut(found)
        next_at = taken.next_at if taken.count else next_at
        grants.append(taken)
    return grants


def _points(taken: RateGrant) -> list[datetime]:
    return [taken.granted_at + taken.delay_of(number) for number in range(taken.count)]


@given(LIMITS, CLAIMS)
@example(1000, [(timedelta(0), 500, 500)] * 5)
@example(1, [(timedelta(milliseconds=100), 5, 5)] * 20)
def test_no_two_requests_are_closer_than_the_limit_says(
    limit: int, claims: list[tuple[timedelta, int, int]]
) -> None:
    points = [point for taken in _claims(limit, claims) for point in _points(taken)]
    gaps = [later - earlier for earlier, later in pairwise(points)]
    assert all(gap >= SECOND / limit for gap in gaps)


@given(LIMITS, CLAIMS)
def test_a_claim_is_granted_a_quarter_of_a_second_or_one_and_little_of_the_past(
    limit: int, claims: list[tuple[timedelta, int, int]]
) -> None:
    for taken in _claims(limit, claims):
        assert taken.count <= max(1, limit / 4)
        assert all(-GRACE <= point - taken.granted_at <= LEAD + BATCH for point in _points(taken))


@given(LIMITS, st.integers(2, 40))
def test_claims_that_come_when_they_may_keep_up_with_the_limit(limit: int, rounds: int) -> None:
    now, next_at, taken = NOW, None, 0
    for _ in range(rounds):
        granted = grant(next_at, limit, now, 1000)
        assert granted.count == batch_size(limit)
        taken += granted.count
        next_at = granted.next_at
        again = opens_again_at(granted, granted.count)
        assert again == opens_at(next_at, now)
        # A claim that is as late as it may be loses nothing.
        now = max(now, again + LEAD + GRACE)
    assert next_at
    assert taken / limit <= (next_at - NOW) / SECOND <= taken / limit * 1.001


@given(LIMITS, st.timedeltas(timedelta(0), timedelta(days=1)))
def test_a_claim_that_comes_too_early_is_granted_nothing_and_told_when(
    limit: int, early: timedelta
) -> None:
    first = grant(None, limit, NOW, 1000)
    opens = opens_at(first.next_at, NOW)
    now = max(NOW, opens - timedelta(microseconds=1) - early)
    granted = grant(first.next_at, limit, now, 1000)
    assert (granted.count > 0) == (now >= opens)
    if not granted.count:
        assert opens_again_at(granted, 0) == opens


@given(LIMITS, st.timedeltas(timedelta(seconds=2), timedelta(days=3650)))
def test_a_clock_that_was_set_back_does_not_hold_up_a_webhook(limit: int, by: timedelta) -> None:
    granted = grant(NOW + by, limit, NOW, 1)
    assert (granted.count, granted.starts_at) == (1, NOW)


def test_what_was_left_of_a_grant_needs_no_waiting() -> None:
    granted = grant(None, 100, NOW, 1000)
    assert opens_again_at(granted, granted.count - 1) is None


def test_a_webhook_that_another_claim_takes_from_is_looked_at_again_soon() -> None:
    granted = nothing_granted(NOW)
    assert granted.count == 0
    assert opens_again_at(granted, 0) == NOW + RETRY


@given(LIMITS, st.timedeltas(GRACE + timedelta(microseconds=1), timedelta(days=365)))
def test_a_webhook_that_was_idle_gets_no_burst(limit: int, idle: timedelta) -> None:
    assert grant(NOW - idle, limit, NOW, 1).starts_at == NOW
