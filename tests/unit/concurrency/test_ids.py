"""Identifiers: what a reader of the log and the queries by time rely on."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import RFC_4122

from hypothesis import given
from hypothesis import strategies as st

from notification_adapters.memory import ManualClock
from notification_core.concurrency.ids import IdGenerator, earliest_id
from tests.support.samples import NOW

JUMPS = st.lists(st.timedeltas(timedelta(days=-30), timedelta(days=30)), max_size=50)


def _milliseconds_of(number: int) -> int:
    return number >> 80


@given(JUMPS)
def test_identifiers_grow_however_the_clock_jumps(jumps: list[timedelta]) -> None:
    clock = ManualClock()
    ids = IdGenerator(clock)
    made = [ids()]
    for jump in jumps:
        clock.jump(jump)
        made += [ids(), ids()]
    assert all(one < other for one, other in pairwise(made))


@given(JUMPS)
def test_an_identifier_is_a_uuid_version_7_of_the_latest_time_seen(jumps: list[timedelta]) -> None:
    clock = ManualClock()
    ids = IdGenerator(clock)
    latest = 0
    for jump in jumps:
        clock.jump(jump)
        latest = max(latest, _milliseconds_of(earliest_id(clock.now()).int))
        made = ids()
        assert (made.version, made.variant) == (7, RFC_4122)
        assert _milliseconds_of(made.int) == latest


def test_identifiers_within_a_millisecond_grow_though_chance_is_always_the_same() -> None:
    for bit in (0, 1):
        ids = IdGenerator(ManualClock(), lambda bits, bit=bit: bit * ((1 << bits) - 1))  # type: ignore[misc] # a default in a lambda
        made = [ids() for _ in range(1000)]
        assert made == sorted(set(made))
        assert {_milliseconds_of(one.int) for one in made} == {_milliseconds_of(made[0].int)}


@given(JUMPS, st.integers(0, 0xFFF))
def test_an_identifier_carries_the_number_of_its_shard(jumps: list[timedelta], shard: int) -> None:
    clock = ManualClock()
    ids = IdGenerator(clock, shard=shard)
    made = [ids()]
    for jump in jumps:
        clock.jump(jump)
        made += [ids(), ids()]
    assert {one.int >> 64 & 0xFFF for one in made} == {shard}
    assert {(one.version, one.variant) for one in made} == {(7, RFC_4122)}
    assert all(one < other for one, other in pairwise(made))


def test_the_shard_is_number_0_for_now() -> None:
    assert {IdGenerator(ManualClock())().int >> 64 & 0xFFF for _ in range(100)} == {0}


def test_the_next_millisecond_begins_once_the_counter_is_used_up() -> None:
    clock = ManualClock()
    most = iter([(1 << 61) - 1, *[(1 << 61) - 1] * 3])
    ids = IdGenerator(clock, lambda _: next(most), shard=3)
    made = [ids() for _ in range(4)]
    first = _milliseconds_of(made[0].int)
    assert [_milliseconds_of(one.int) - first for one in made] == [0, 0, 1, 1]
    assert made == sorted(set(made))
    assert {one.int >> 64 & 0xFFF for one in made} == {3}


def test_two_processes_make_different_identifiers_at_the_same_instant() -> None:
    clock = ManualClock()
    one, other = IdGenerator(clock), IdGenerator(clock)
    assert len({*(one() for _ in range(100)), *(other() for _ in range(100))}) == 200


@given(st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 31), timezones=st.just(UTC)))  # noqa: DTZ001 - hypothesis adds the zone
def test_the_earliest_identifier_of_an_instant_bounds_those_made_before_and_after(
    at: datetime,
) -> None:
    made = IdGenerator(ManualClock(at))()
    assert earliest_id(at) <= made
    assert earliest_id(at - timedelta(milliseconds=2)) <= earliest_id(at)
    later = min(at, datetime(9999, 1, 1, tzinfo=UTC)) + timedelta(milliseconds=2)
    assert IdGenerator(ManualClock(later - timedelta(milliseconds=2)))() < earliest_id(later)


def test_a_query_from_before_1970_finds_everything() -> None:
    assert earliest_id(datetime(1900, 1, 1, tzinfo=UTC)) <= earliest_id(NOW)
