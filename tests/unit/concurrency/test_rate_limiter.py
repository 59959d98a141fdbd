"""Limits: how often each may do something, and how little is remembered of it."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from notification_core.concurrency.rate_limiter import RateLimiter


def taken(limiter: RateLimiter, who: str, now: float) -> bool:
    if limiter.wait(who, now) > 0:
        return False
    limiter.count(who, now)
    return True


def test_a_burst_passes_and_then_one_at_a_time() -> None:
    limiter = RateLimiter(per_second=2, burst=3)
    assert [taken(limiter, "a", 0.0) for _ in range(4)] == [True, True, True, False]
    assert limiter.wait("a", 0.0) == pytest.approx(0.5)
    assert [taken(limiter, "a", 0.5) for _ in range(2)] == [True, False]
    assert [taken(limiter, "a", 100.0) for _ in range(4)] == [True, True, True, False]


@example(now=0.1, per_second=1)
@given(now=st.floats(0, 1e9), per_second=st.integers(1, 1_000_000))
def test_who_was_never_counted_does_not_wait(now: float, per_second: int) -> None:
    assert RateLimiter(per_second, burst=1).wait("a", now) == 0


def test_one_is_not_held_up_by_another() -> None:
    limiter = RateLimiter(per_second=1, burst=1)
    assert taken(limiter, "a", 0.0)
    assert not taken(limiter, "a", 0.0)
    assert taken(limiter, "b", 0.0)


def test_what_is_counted_beyond_the_limit_makes_the_wait_no_longer_than_one_more() -> None:
    limiter = RateLimiter(per_second=1, burst=2)
    for _ in range(1000):
        limiter.count("a", 0.0)
    assert limiter.wait("a", 0.0) == pytest.approx(2.0)


def test_of_many_the_one_that_was_quiet_for_longest_is_forgotten() -> None:
    limiter = RateLimiter(per_second=1, burst=1, most=2)
    for who in ("a", "b", "a", "c"):
        limiter.count(who, 0.0)
    assert limiter.wait("b", 0.0) == 0
    assert min(limiter.wait("a", 0.0), limiter.wait("c", 0.0)) > 0


@given(
    st.lists(st.floats(0, 5), max_size=100),
    st.integers(1, 20),
    st.integers(1, 5),
)
def test_never_more_than_the_burst_and_the_rate_allow(
    pauses: list[float], per_second: int, burst: int
) -> None:
    limiter, now, count = RateLimiter(per_second, burst), 0.0, 0
    for pause in pauses:
        now += pause
        count += taken(limiter, "a", now)
    assert count <= burst + per_second * now + 1e-6
