"""Statistics: what is counted, how it is merged and encoded, and how exact percentiles are."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notification_core.errors import InvalidPeriod
from notification_core.model.delivery import AttemptOutcome, DeliveryState, ErrorCode
from notification_core.model.histogram import BOUNDS, BUCKETS, bucket_of, quantile
from notification_core.model.statistics import (
    MAX_BUCKETS,
    BucketSize,
    Counts,
    Percentiles,
    Period,
    choose_period,
    first_minute,
    merge_before,
    sum_of,
)
from notification_core.model.statistics_encoding import (
    DELIVERY_TIMES,
    DURATIONS,
    compact,
    decode_into,
    encode,
    record,
)
from tests.support.samples import a_result, a_webhook

YEAR_MS = 365 * 24 * 3600 * 1000
DURATION = st.floats(0, YEAR_MS).map(lambda ms: timedelta(milliseconds=ms))
COUNTER = st.dictionaries(st.integers(0, BUCKETS - 1), st.integers(1, 10**6)).map(Counter)


@st.composite
def counts(draw: st.DrawFn) -> Counts:
    """Return what somebody may have counted."""
    outcomes = st.dictionaries(st.sampled_from(AttemptOutcome), st.integers(1, 10**6))
    errors = st.dictionaries(st.sampled_from(ErrorCode), st.integers(1, 10**6))
    final = [state for state in DeliveryState if state is not DeliveryState.PENDING]
    ends = st.dictionaries(st.sampled_from(final), st.integers(1, 10**6))
    return Counts(
        Counter(draw(outcomes)),
        Counter(draw(errors)),
        Counter(draw(ends)),
        draw(COUNTER),
        draw(COUNTER),
    )


@given(st.lists(DURATION, min_size=1), st.floats(0.001, 1))
def test_a_percentile_is_at_most_5_percent_off(durations: list[timedelta], fraction: float) -> None:
    """From 1 ms on; of what is shorter it is known that it is."""
    true = sorted(durations)[max(1, ceil(fraction * len(durations))) - 1]
    found = quantile(Counter(map(bucket_of, durations)), fraction)
    assert found is not None
    if true <= timedelta(milliseconds=1):
        assert found == timedelta(milliseconds=1)
    else:
        assert abs(found - true) <= 0.05 * true


def test_buckets_reach_from_a_millisecond_to_a_year() -> None:
    """Each duration has its bucket, odd ones too."""
    assert bucket_of(timedelta(seconds=-1)) == bucket_of(timedelta(milliseconds=1)) == 0
    assert bucket_of(timedelta(microseconds=1001)) == 1
    assert timedelta(microseconds=BOUNDS[-1]) > timedelta(days=365)
    assert bucket_of(timedelta.max) == BUCKETS - 1


def test_nothing_has_no_percentiles() -> None:
    """Rather than a zero that nobody measured."""
    assert quantile(Counter(), 0.5) is None
    assert Percentiles.of(Counter()) is None


@given(counts(), counts(), counts())
def test_merging_is_associative_and_commutative(one: Counts, two: Counts, three: Counts) -> None:
    """So it does not matter which rows are merged first."""
    assert sum_of([sum_of([one, two]), three]) == sum_of([one, sum_of([two, three])])
    assert sum_of([one, two]) == sum_of([two, one])
    assert sum_of([one]) == one


@given(st.lists(counts(), max_size=4))
def test_what_is_appended_adds_up(all_counts: list[Counts]) -> None:
    """Encoded one behind the other, compacted or not, they are the sum."""
    appended = b"".join(map(encode, all_counts))
    for encoded in (appended, compact(appended), compact(compact(appended))):
        read = Counts()
        decode_into(read, encoded)
        total = sum_of(all_counts)
        assert (read.errors, read.durations, read.delivery_times) == (
            total.errors,
            total.durations,
            total.delivery_times,
        )
    assert len(compact(appended)) <= len(appended)


SHORT_RECORD = st.tuples(
    st.sampled_from([DURATIONS, DELIVERY_TIMES, 0x21]), st.integers(0, 255), st.integers(1, 127)
)


@given(st.lists(st.tuples(SHORT_RECORD, st.booleans(), st.integers(1, 3))))
def test_records_of_single_attempts_add_up_in_rows_of_any_length(
    records: list[tuple[tuple[int, int, int], bool, int]],
) -> None:
    """These are counted all at once, beside rows that hold longer ones and a later version's."""
    rows, durations, foreign = [b""], Counter[int](), 0
    for (tag, number, count), begins_a_row, times in records:
        if begins_a_row:
            rows.append(b"")
        rows[-1] += record(tag, Counter({number: count})) * times
        durations[number] += count * times * (tag == DURATIONS)
        foreign += times * (tag == 0x21)
    long = record(DURATIONS, Counter({1: 1, 2: 300}))
    for encoded in (rows, [*rows, long], [b"".join(rows) + long]):
        read = Counts()
        decode_into(read, *encoded)
        assert read.durations == durations + Counter({1: 1, 2: 300} if encoded is not rows else {})
        assert compact(*encoded).count(b"\x21\x02") >= foreign
    decode_into(merged := Counts(), compact(*rows))
    assert merged.durations == +durations


def test_what_a_later_version_writes_is_skipped_and_kept() -> None:
    """Processes of two versions work side by side."""
    later, ours = b"\x21\x81\x00" + b"x" + b"\x14\x00", record(DURATIONS, Counter({7: 300}))
    read = Counts()
    decode_into(read, later + ours)
    assert read.durations == {7: 300}
    assert compact(ours + later + ours) == record(DURATIONS, Counter({7: 600})) + (
        b"\x21\x01x\x14\x00"
    )


def test_an_error_code_of_a_later_version_is_skipped() -> None:
    """Its attempt is counted as failed all the same."""
    read = Counts()
    decode_into(read, bytes([0x13, 4, 1, 5, 200, 1]))
    assert read.errors == {ErrorCode.TIMEOUT: 5}


def test_every_error_code_has_its_number() -> None:
    """A new one needs a number of its own."""
    for code in ErrorCode:
        read = Counts()
        decode_into(read, encode(Counts(errors=Counter({code: 1}))))
        assert read.errors == {code: 1}


def test_attempts_and_ends_are_counted() -> None:
    """By outcome, error, and final state."""
    counted = Counts()
    counted.count_attempt(a_result(a_webhook()).attempt)
    counted.count_attempt(a_result(a_webhook(), error=ErrorCode.TLS).attempt)
    counted.count_end(DeliveryState.FAILED)
    counted.count_end(DeliveryState.SUCCEEDED, timedelta(seconds=1))
    counted.count_end(DeliveryState.SUCCEEDED, timedelta(seconds=1))
    assert counted == Counts(
        Counter({AttemptOutcome.SUCCEEDED: 1, AttemptOutcome.FAILED: 1}),
        Counter({ErrorCode.TLS: 1}),
        Counter({DeliveryState.FAILED: 1, DeliveryState.SUCCEEDED: 2}),
        delivery_times=Counter({bucket_of(timedelta(seconds=1)): 2}),
    )


@pytest.mark.parametrize("span", BucketSize)
@given(at=st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1)))  # noqa: DTZ001 - hypothesis wants them naive
def test_a_bucket_begins_at_most_its_length_before(span: BucketSize, at: datetime) -> None:
    """And at a round time of UTC."""
    instant = at.replace(tzinfo=UTC)
    start = span.start_of(instant)
    assert timedelta() <= instant - start < span.length
    assert span.start_of(start) == start


def test_a_period_covers_what_it_is_asked_for() -> None:
    """It has whole buckets only."""
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    hour, second = timedelta(hours=1), timedelta(seconds=1)
    assert Period.covering(noon, noon + hour, BucketSize.HOUR).buckets == 1
    period = Period.covering(noon - second, noon + second, BucketSize.HOUR)
    assert list(period.starts) == [noon - hour, noon]
    assert period.until == noon + hour


NOW = datetime(2026, 11, 29, 21, 7, 42, tzinfo=UTC)
AROUND = st.integers(-(10**9), 10**5).map(lambda seconds: NOW + timedelta(seconds=seconds))


@given(st.sampled_from(BucketSize), st.none() | AROUND, st.none() | AROUND)
def test_a_question_gets_its_time_or_is_told_what_to_ask(
    span: BucketSize, since: datetime | None, until: datetime | None
) -> None:
    """What is refused names since, and one of the ways that it names is taken."""
    end = min(until or NOW, NOW)
    try:
        period = choose_period(span, since, until, NOW)
    except InvalidPeriod as refused:
        ((field, message),) = refused.details
        assert field == "since"
        for other in BucketSize:
            if f"bucket={other}" in message and other is not span:
                assert choose_period(other, since, until, NOW).buckets <= MAX_BUCKETS
        return
    assert 1 <= period.buckets <= MAX_BUCKETS
    assert since is None or period.since <= since < period.until
    assert period.until - span.length < end <= period.until
    assert span is not BucketSize.MINUTE or period.since >= first_minute(NOW)


def refusal(span: BucketSize, since: datetime, until: datetime | None = None) -> str:
    with pytest.raises(InvalidPeriod) as refused:
        choose_period(span, since, until, NOW)
    return refused.value.details[0].message


def test_a_question_that_is_refused_says_what_would_be_right() -> None:
    assert "not before until" in refusal(BucketSize.HOUR, NOW)
    assert "not before until" in refusal(BucketSize.HOUR, NOW + timedelta(1), NOW + timedelta(2))
    assert refusal(BucketSize.MINUTE, NOW - timedelta(hours=17)) == (
        "These are 1,021 minutes, and at most 1,000 are returned. Ask with bucket=hour, or for at "
        "most 1,000 minutes."
    )
    assert "bucket=day" in refusal(BucketSize.HOUR, NOW - timedelta(days=60))
    assert "Ask for at most 1,000 days." in refusal(BucketSize.DAY, NOW - timedelta(days=1001))
    merged = refusal(
        BucketSize.MINUTE, NOW - timedelta(hours=50), NOW - timedelta(hours=48, minutes=30)
    )
    assert merged.endswith("Ask with bucket=hour, or for the time since 2026-11-27T21:00:00Z.")
    kept = choose_period(BucketSize.MINUTE, first_minute(NOW), NOW - timedelta(hours=47), NOW)
    assert kept.since == first_minute(NOW)


def test_an_hour_is_merged_once_it_has_been_over_for_some_minutes() -> None:
    hour = BucketSize.HOUR.start_of(NOW)
    assert merge_before(hour + timedelta(minutes=4, seconds=59)) == hour - timedelta(hours=1)
    assert merge_before(hour + timedelta(minutes=5)) == hour


def test_the_beginning_of_time_is_as_good_as_any() -> None:
    first = datetime.min.replace(tzinfo=UTC)
    period = choose_period(BucketSize.DAY, None, first + timedelta(hours=1), NOW)
    assert (period.since, period.buckets) == (first, 1)
