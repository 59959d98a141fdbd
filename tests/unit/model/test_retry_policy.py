"""Retries: how many, when, and what receivers can ask for."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from notification_core.model.delivery import (
    AttemptError,
    ErrorCode,
    Failed,
    NextStep,
    ReceivedResponse,
    Retry,
)
from notification_core.model.retry_overrides import (
    RetryOverrides,
    validate_retry,
    validate_timeout,
)
from notification_core.model.retry_policy import (
    LONGEST_DELAY,
    RetryPolicy,
    error_in,
    next_step_after,
    parse_retry_after,
)
from notification_core.model.webhook import DisabledReason
from tests.support.samples import NOW

INTERVALS = st.timedeltas(timedelta(milliseconds=1), timedelta(days=1))
JITTERS = st.floats(0, 1, exclude_max=True)
SLACK = timedelta(microseconds=2)


def _delay(next_step: NextStep) -> timedelta:
    assert isinstance(next_step, Retry)
    return next_step.after


def _next_step(code: int, *retry_after: str, failures: int = 0) -> NextStep:
    response = ReceivedResponse(code, tuple(("Retry-After", value) for value in retry_after), b"")
    error = error_in(response)
    assert error
    policy = RetryPolicy(interval=timedelta(seconds=1))
    return next_step_after(policy, failures, error, response, now=NOW, jitter=0.0)


@given(st.integers(0, 50), JITTERS)
def test_a_delivery_is_retried_exactly_as_often_as_the_policy_says(
    max_retries: int, jitter: float
) -> None:
    policy = RetryPolicy(max_retries=max_retries)
    next_steps = [policy.after_failure(failures, jitter) for failures in range(max_retries + 1)]
    assert all(isinstance(next_step, Retry) for next_step in next_steps[:-1])
    assert next_steps[-1] == Failed()


@given(INTERVALS, st.floats(1, 10), st.integers(0, 20), JITTERS)
def test_a_retry_is_never_early_at_most_a_fifth_late_and_never_beyond_the_cap(
    interval: timedelta, backoff: float, failures: int, jitter: float
) -> None:
    policy = RetryPolicy(max_retries=100, interval=interval, backoff=backoff)
    delay = _delay(policy.after_failure(failures, jitter))
    meant = interval.total_seconds() * backoff**failures
    assert delay <= LONGEST_DELAY
    if meant < LONGEST_DELAY.total_seconds():
        assert timedelta(seconds=meant) - SLACK <= delay
        assert delay <= timedelta(seconds=meant * 1.2) + SLACK
    else:
        assert delay == LONGEST_DELAY


@given(INTERVALS, st.floats(1, 10), st.integers(0, 20), JITTERS, INTERVALS)
def test_a_retry_comes_no_later_than_the_longest_interval_and_its_jitter(
    interval: timedelta, backoff: float, failures: int, jitter: float, longest: timedelta
) -> None:
    policy = RetryPolicy(20, interval, backoff)
    bounded = evolve(policy, max_interval=longest)
    if failures == policy.max_retries:
        assert bounded.after_failure(failures, jitter) == Failed()
        return
    meant = min(interval.total_seconds() * backoff**failures, longest.total_seconds())
    delay = _delay(bounded.after_failure(failures, jitter)).total_seconds()
    assert meant - 1e-5 <= delay <= meant * 1.2 + 1e-5


OWN = st.builds(
    RetryOverrides,
    st.none() | st.integers(0, 20),
    st.none() | st.timedeltas(timedelta(milliseconds=100), timedelta(hours=24)),
    st.none() | st.floats(1, 10),
    st.none() | st.timedeltas(timedelta(hours=24), timedelta(hours=168)),
)


@given(OWN)
def test_what_a_webhook_does_not_say_of_its_retries_is_the_installations(
    own: RetryOverrides,
) -> None:
    installation = RetryPolicy(
        7, timedelta(seconds=11), 1.5, timedelta(hours=9), timedelta(hours=2)
    )
    policy = installation.overridden_by(own)
    for name in ("max_retries", "interval", "backoff", "max_interval"):
        said = getattr(own, name)
        assert getattr(policy, name) == (getattr(installation, name) if said is None else said)
    assert policy.retry_after_max == installation.retry_after_max
    assert installation.overridden_by(None) is installation


@given(OWN)
def test_retries_within_the_bounds_are_taken(own: RetryOverrides) -> None:
    assert [*validate_retry(own)] == []


HOURS = timedelta(hours=1)


@pytest.mark.parametrize(
    ("own", "fields"),
    [
        (RetryOverrides(max_retries=21), ["retry.max_retries"]),
        (RetryOverrides(max_retries=-1), ["retry.max_retries"]),
        (RetryOverrides(backoff=0.99), ["retry.backoff"]),
        (RetryOverrides(backoff=10.01), ["retry.backoff"]),
        (RetryOverrides(backoff=float("nan")), ["retry.backoff"]),
        (RetryOverrides(interval=timedelta(milliseconds=99)), ["retry.interval"]),
        (RetryOverrides(interval=24 * HOURS + timedelta.resolution), ["retry.interval"]),
        (RetryOverrides(max_interval=168 * HOURS + timedelta.resolution), ["retry.max_interval"]),
        (RetryOverrides(interval=2 * HOURS, max_interval=HOURS), ["retry.max_interval"]),
        (RetryOverrides(21, timedelta(), 0, timedelta()), [
            "retry.max_retries", "retry.backoff", "retry.interval", "retry.max_interval",
        ]),
    ],
)  # fmt: skip
def test_retries_beyond_the_bounds_are_refused_by_their_fields(
    own: RetryOverrides, fields: list[str]
) -> None:
    assert [detail.field for detail in validate_retry(own)] == fields


def test_a_time_limit_is_at_most_the_installations() -> None:
    ten = timedelta(seconds=10)
    for good in (timedelta(milliseconds=100), ten):
        assert [*validate_timeout(good, ten)] == []
    for bad in (timedelta(milliseconds=99), ten + timedelta.resolution):
        (detail,) = validate_timeout(bad, ten)
        assert detail == ("timeout", "Give a duration from 100ms to 10s.")


def test_leading_zeros_of_a_retry_after_change_nothing() -> None:
    assert parse_retry_after("0000000000000120", NOW) == timedelta(seconds=120)


@pytest.mark.parametrize("failures", [1_000, 100_000])
def test_a_backoff_beyond_all_numbers_ends_at_the_cap(failures: int) -> None:
    policy = RetryPolicy(max_retries=1_000_000, backoff=10.0)
    assert policy.after_failure(failures, 0.5) == Retry(LONGEST_DELAY)


@given(INTERVALS, JITTERS, st.timedeltas(timedelta(0), timedelta(days=400)))
def test_a_receiver_can_ask_for_a_later_retry_up_to_the_cap_and_never_for_an_earlier_one(
    interval: timedelta, jitter: float, asked: timedelta
) -> None:
    policy = RetryPolicy(interval=interval)
    unasked = _delay(policy.after_failure(0, jitter))
    delay = _delay(policy.after_failure(0, jitter, asked))
    assert delay == max(unasked, min(asked, policy.retry_after_max))


@pytest.mark.parametrize("code", [429, 503])
@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("30", 30),
        (" 30 ", 30),
        ("0", 1),
        ("99999999999999999999", 3600),
        ("9e99", 1),
        ("-1", 1),
        ("+30", 1),
        ("30.5", 1),
        ("٣٠", 1),
        ("", 1),
        ("soon", 1),
        ("30, 30", 1),
        (format_datetime(NOW + timedelta(seconds=40), usegmt=True), 40),
        ("Thu, 01 Jan 2026 00:00:40 -0000", 40),
        ("Thursday, 01-Jan-26 00:00:40 GMT", 40),
        ("Thu Jan  1 00:00:40 2026", 40),
        (format_datetime(NOW - timedelta(days=1), usegmt=True), 1),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 3600),
        ("Thu, 99 Jan 2026 00:00:40 GMT", 1),
    ],
)
def test_retry_after_is_honoured_within_the_cap_and_ignored_when_malformed(
    code: int, value: str, seconds: int
) -> None:
    assert _next_step(code, value) == Retry(timedelta(seconds=seconds))


@pytest.mark.parametrize("code", [301, 400, 404, 500, 502, 504])
def test_retry_after_counts_only_with_429_and_503(code: int) -> None:
    assert _next_step(code, "30") == Retry(timedelta(seconds=1))


def test_two_retry_afters_contradict_one_another_and_are_ignored() -> None:
    assert _next_step(429, "30", "40") == Retry(timedelta(seconds=1))


@given(st.text() | st.from_regex(r"[A-Za-z]{0,9},? ?\d{1,2}[ -]\w{3}[ -]\d+ [\d:]{0,12} ?\S{0,6}"))
def test_no_text_in_retry_after_does_any_harm(value: str) -> None:
    wait = parse_retry_after(value, NOW)
    assert wait is None or wait > timedelta()


@given(st.datetimes(datetime(1971, 1, 1), datetime(9999, 12, 30), timezones=st.just(UTC)))  # noqa: DTZ001 - hypothesis adds the zone
def test_every_http_date_is_read(at: datetime) -> None:
    at = at.replace(microsecond=0)
    wait = parse_retry_after(format_datetime(at, usegmt=True), NOW)
    assert wait == (at - NOW if at > NOW else None)


@pytest.mark.parametrize("code", [200, 201, 204, 226, 299])
def test_a_2xx_is_a_success(code: int) -> None:
    assert error_in(ReceivedResponse(code, (), b"")) is None


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (199, ErrorCode.HTTP_STATUS),
        (300, ErrorCode.REDIRECT_NOT_FOLLOWED),
        (308, ErrorCode.REDIRECT_NOT_FOLLOWED),
        (400, ErrorCode.HTTP_STATUS),
        (410, ErrorCode.GONE),
        (500, ErrorCode.HTTP_STATUS),
        (999, ErrorCode.HTTP_STATUS),
    ],
)
def test_everything_else_is_an_error_that_names_the_status(code: int, error: ErrorCode) -> None:
    found = error_in(ReceivedResponse(code, (), b""))
    assert found
    assert found.code is error
    assert str(code) in found.message


@pytest.mark.parametrize("failures", [0, 2, 3])
def test_410_ends_the_delivery_and_disables_the_webhook(failures: int) -> None:
    assert _next_step(410, "30", failures=failures) == Failed(disables=DisabledReason.GONE)


def test_a_destination_that_is_not_allowed_is_not_retried() -> None:
    error = AttemptError(ErrorCode.DESTINATION_NOT_ALLOWED, "inside")
    assert next_step_after(RetryPolicy(), 0, error, None, now=NOW, jitter=0.0) == Failed()


@pytest.mark.parametrize(
    "code",
    [
        code
        for code in ErrorCode
        if code not in {ErrorCode.GONE, ErrorCode.DESTINATION_NOT_ALLOWED, ErrorCode.INTERRUPTED}
    ],
)
def test_every_other_failure_is_retried(code: ErrorCode) -> None:
    next_step = next_step_after(RetryPolicy(), 0, AttemptError(code, ""), None, now=NOW, jitter=0.0)
    assert next_step == Retry(timedelta(seconds=1))


@pytest.mark.parametrize("code", [304, 305, 306, 399])
def test_a_status_that_names_no_other_address_is_not_called_a_redirect(code: int) -> None:
    error = error_in(ReceivedResponse(code, (), b""))
    assert error
    assert error.code is ErrorCode.HTTP_STATUS
