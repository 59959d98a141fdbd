"""The line of an ordering key: one delivery at a time, in the order of the positions."""

from datetime import datetime, timedelta

import hypothesis.strategies as st
from attrs import define, field
from hypothesis import assume, given

from notification_core.model.ordering import (
    HELD_UNTIL,
    due_on_joining,
    first_in_group,
    is_in_group,
    is_to_release,
    key_in_group,
)
from tests.support.samples import NOW


@define
class _Delivery:
    position: int | None
    due_at: datetime
    is_pending: bool = True
    is_attempted: bool = False


@define
class _Line:
    """A line as a storage keeps it: what is done to it, and in which order requests begin."""

    deliveries: list[_Delivery] = field(factory=list)
    started: list[int] = field(factory=list)

    def join(self) -> None:
        is_empty = first_in_group(self.deliveries) is None
        due_at = due_on_joining(NOW, is_group_empty=is_empty)
        self.deliveries.append(_Delivery(len(self.deliveries), due_at))

    def claimable(self) -> list[_Delivery]:
        return [
            one
            for one in self.deliveries
            if one.is_pending and not one.is_attempted and one.due_at != HELD_UNTIL
        ]

    def claim(self) -> None:
        for one in self.claimable():
            others = [other for other in self.deliveries if other.is_attempted]
            assert others == [], "A request is under way, and another one begins."
            one.is_attempted = True
            self.started.append(one.position or 0)

    def end_attempt(self, *, final: bool) -> None:
        for one in self.deliveries:
            if one.is_attempted:
                one.is_attempted = False
                one.is_pending &= not final
                self.release()

    def cancel(self, number: int) -> None:
        if self.deliveries:
            self.deliveries[number % len(self.deliveries)].is_pending = False
            self.release()

    def release(self) -> None:
        first = first_in_group(self.deliveries)
        if first is not None and is_to_release(first):
            first.due_at = NOW


STEPS = st.lists(
    st.one_of(
        st.just(("join", None)),
        st.just(("claim", None)),
        st.booleans().map(lambda final: ("end", final)),
        st.integers(0, 20).map(lambda number: ("cancel", number)),
    ),
    max_size=40,
)


def _after(steps: list[tuple[str, int | None]]) -> _Line:
    line = _Line()
    for step, value in steps:
        match step:
            case "join":
                line.join()
            case "claim":
                line.claim()
            case "end":
                line.end_attempt(final=bool(value))
            case _:
                line.cancel(value or 0)
    return line


@given(STEPS)
def test_one_request_at_a_time_and_never_an_earlier_one_after_a_later_one(
    steps: list[tuple[str, int | None]],
) -> None:
    line = _after(steps)
    assert line.started == sorted(line.started)
    assert len(line.claimable()) <= 1


@given(STEPS)
def test_a_line_never_stalls(steps: list[tuple[str, int | None]]) -> None:
    line = _after(steps)
    assume(any(one.is_pending for one in line.deliveries))
    under_way = [one for one in line.deliveries if one.is_attempted]
    assert under_way or line.claimable()


@given(STEPS)
def test_a_line_drains(steps: list[tuple[str, int | None]]) -> None:
    line = _after(steps)
    for _ in range(2 * len(line.deliveries) + 2):
        line.claim()
        line.end_attempt(final=True)
    assert not any(is_in_group(one) for one in line.deliveries)


def test_only_what_is_pending_of_an_ordered_webhook_with_a_key_stands_in_line() -> None:
    assert key_in_group("a", is_ordered=True) == "a"
    assert key_in_group("a", is_ordered=False) is None
    assert key_in_group(None, is_ordered=True) is None
    assert key_in_group("a", is_ordered=True, is_final=True) is None


def test_what_was_cancelled_during_its_attempt_holds_the_next_one_until_it_has_ended() -> None:
    cancelled = _Delivery(1, NOW, is_pending=False, is_attempted=True)
    behind = _Delivery(2, HELD_UNTIL)
    assert first_in_group([behind, cancelled]) is cancelled
    assert not is_to_release(cancelled)
    cancelled.is_attempted = False
    assert is_to_release(first_in_group([behind, cancelled]))


def test_a_retry_of_the_first_one_keeps_its_place() -> None:
    waiting = _Delivery(1, NOW + timedelta(hours=1))
    assert first_in_group([_Delivery(2, HELD_UNTIL), waiting]) is waiting
    assert not is_to_release(waiting)


def test_what_has_no_position_is_in_no_line() -> None:
    assert first_in_group([_Delivery(None, NOW)]) is None
    assert not is_to_release(None)
