"""Lanes: who may send next, and that no webhook hurts another."""

from collections import Counter
from itertools import count
from uuid import UUID

import attrs
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from notification_core.dispatch.fair_queue import SLOW_AFTER, Bounds, FairQueue
from notification_core.dispatch.webhook_queue import InFlightRequest, QueuedDelivery, WebhookQueue
from notification_core.model.webhook import Webhook
from tests.support.samples import a_webhook, an_id, held

BOUNDS = Bounds(in_flight=8, per_webhook=3, waiting=12, waiting_bytes=1200)


def _flights(lanes: FairQueue, now: float = 0.0) -> list[tuple[QueuedDelivery, InFlightRequest]]:
    """Start all that may start."""
    started = []
    while (start := lanes.next(now)) is not None:
        started.append(start)
    return started


def _add(
    lanes: FairQueue, webhook: Webhook, number: int = 1, *, webhooks_revision: int = 0
) -> list[QueuedDelivery]:
    added = [held(webhook) for _ in range(number)]
    for one in added:
        lanes.add(one, webhook, webhooks_revision)
    return added


def _answer(lanes: FairQueue, flight: InFlightRequest, now: float = 0.0) -> None:
    lanes.ended(flight, now, answered=True, succeeded=True)


def _fail(lanes: FairQueue, flight: InFlightRequest, now: float = 0.0) -> None:
    lanes.ended(flight, now, answered=True, succeeded=False)


def _time_out(lanes: FairQueue, flight: InFlightRequest, now: float = 0.0) -> None:
    lanes.ended(flight, now, answered=False, succeeded=False)


def _prove(lanes: FairQueue, webhook: Webhook, *, webhooks_revision: int = 0) -> WebhookQueue:
    """Let a webhook answer once."""
    _add(lanes, webhook, webhooks_revision=webhooks_revision)
    ((_, flight),) = _flights(lanes)
    _answer(lanes, flight)
    return flight.lane


# Turns.


def test_webhooks_take_turns_however_much_one_of_them_has_waiting() -> None:
    lanes, busy, modest = FairQueue(Bounds(in_flight=4, per_webhook=1)), a_webhook(), a_webhook()
    _add(lanes, busy, 5)
    _add(lanes, modest, 2)
    sent = []
    while out := _flights(lanes):
        for one, flight in out:
            sent.append(one.delivery.webhook_id)
            _answer(lanes, flight)
    assert sent[:4] == [busy.webhook_id, modest.webhook_id] * 2


def test_deliveries_of_a_webhook_go_out_in_the_order_in_which_they_came() -> None:
    lanes, webhook = FairQueue(Bounds()), a_webhook()
    added = _add(lanes, webhook, 5)
    assert [one for one, _ in _flights(lanes)] == added


def test_a_delivery_put_back_is_the_next_of_its_webhook() -> None:
    lanes, webhook = FairQueue(Bounds(in_flight=2, per_webhook=1)), a_webhook()
    first, _ = _add(lanes, webhook, 2)
    ((_, flight),) = _flights(lanes)
    lanes.put_back(first, flight)
    assert [one for one, _ in _flights(lanes)] == [first]


# What those who watch want to know.


def test_a_webhook_holds_back_its_deliveries_from_when_it_was_at_its_bound() -> None:
    lanes, busy, idle = FairQueue(BOUNDS), a_webhook(), a_webhook()
    _add(lanes, idle)
    _add(lanes, busy, 3)
    started = _flights(lanes, 10.0)
    assert lanes.holds_back(busy.webhook_id, 50.0), "it is at its bound still"
    for one, flight in started:
        if one.delivery.webhook_id == busy.webhook_id:
            _answer(lanes, flight, 20.0)
    assert lanes.holds_back(busy.webhook_id, 20.0)
    assert not lanes.holds_back(busy.webhook_id, 20.1)
    assert not lanes.holds_back(idle.webhook_id, 0.0)
    assert not lanes.holds_back(a_webhook().webhook_id, 0.0)


def test_an_environment_counts_once_and_as_reached_if_any_of_its_webhooks_is() -> None:
    lanes, bounds = FairQueue(Bounds()), 1.0
    gone, (good, bad) = a_webhook(), (a_webhook(), a_webhook())
    gone = attrs.evolve(gone, environment_id=an_id())
    for webhook in (gone, good, bad):
        _add(lanes, webhook)
    for one, flight in _flights(lanes):
        (_answer if one.delivery.webhook_id == good.webhook_id else _time_out)(
            lanes, flight, bounds
        )
    _add(lanes, attrs.evolve(a_webhook(), environment_id=an_id()))
    assert lanes.environments() == {True: 1, False: 1}


# What is in flight.


def test_a_webhook_has_no_more_in_flight_than_its_bound() -> None:
    lanes, webhook = FairQueue(BOUNDS), a_webhook()
    _add(lanes, webhook, 5)
    assert len(_flights(lanes)) == BOUNDS.per_webhook


def test_webhooks_that_hang_leave_half_of_the_slots_to_those_that_answer() -> None:
    lanes, good = FairQueue(BOUNDS), a_webhook()
    _prove(lanes, good)
    for _ in range(10):
        _add(lanes, a_webhook())
    assert len(_flights(lanes)) == 4
    _add(lanes, good, 3)
    assert len(_flights(lanes)) == 3


def test_a_webhook_that_begins_to_hang_makes_room_for_others_after_a_second() -> None:
    lanes = FairQueue(BOUNDS)
    hanging, good = a_webhook(), a_webhook()
    for webhook in (hanging, good):
        _prove(lanes, webhook)
    _add(lanes, hanging, 3)
    _flights(lanes, 10.0)
    lanes.age(10.0 + SLOW_AFTER)
    _add(lanes, good, 3)
    assert len(_flights(lanes, 11.0)) == 3


def test_a_webhook_whose_slow_requests_have_ended_counts_as_answering_again() -> None:
    lanes, slow = FairQueue(BOUNDS), a_webhook()
    _prove(lanes, slow)
    _add(lanes, slow, 2)
    out = _flights(lanes, 10.0)
    lanes.age(10.0 + SLOW_AFTER)
    for _, flight in out:
        _answer(lanes, flight, 12.0)
    for _ in range(10):
        _add(lanes, a_webhook())
    assert len(_flights(lanes, 12.0)) == 4
    _add(lanes, slow, 3)
    assert len(_flights(lanes, 12.0)) == 3


def test_a_webhook_that_has_answered_need_not_wait_behind_those_that_hang() -> None:
    """Its turn came in the half of the newcomers; by then that half was full."""
    lanes, good = FairQueue(BOUNDS), a_webhook()
    _add(lanes, good)
    ((_, flight),) = _flights(lanes)
    for _ in range(10):
        _add(lanes, a_webhook())
    _flights(lanes)
    (waiting,) = _add(lanes, good)
    _answer(lanes, flight)
    assert waiting in [one for one, _ in _flights(lanes)]


def test_a_webhook_that_times_out_is_tried_with_two_at_a_time_until_it_answers() -> None:
    lanes, webhook = FairQueue(Bounds(per_webhook=8)), a_webhook()
    _add(lanes, webhook, 40)
    for _, flight in _flights(lanes):
        _time_out(lanes, flight)
    (_, one), (_, other) = _flights(lanes)
    _answer(lanes, one)
    assert len(_flights(lanes)) == 3
    _time_out(lanes, other)
    assert not _flights(lanes)


# What may wait.


def test_no_more_may_wait_than_the_bounds_say() -> None:
    lanes, webhook = FairQueue(BOUNDS), a_webhook()
    _prove(lanes, webhook)
    assert sum(lanes.reserve(webhook, 0, 1) for _ in range(20)) == BOUNDS.waiting


def test_no_more_bytes_may_wait_than_the_bounds_say() -> None:
    lanes, webhook = FairQueue(BOUNDS), a_webhook()
    _prove(lanes, webhook)
    assert sum(lanes.reserve(webhook, 0, 500) for _ in range(20)) == 2
    assert lanes.waiting_bytes == 1000


@pytest.mark.parametrize(("size", "number"), [(1, 6), (200, 3)])
def test_webhooks_that_never_answered_leave_half_of_the_places_to_those_that_do(
    size: int, number: int
) -> None:
    lanes, good = FairQueue(BOUNDS), a_webhook()
    _prove(lanes, good)
    assert sum(lanes.reserve(a_webhook(), 0, size) for _ in range(20)) == number
    assert lanes.newcomer_room() == 0
    assert lanes.rooms()[good.webhook_id] > 0
    assert lanes.reserve(good, 0, size)


def test_when_many_begin_to_hang_at_once_half_of_what_waits_is_given_up() -> None:
    lanes = FairQueue(BOUNDS)
    webhooks = [a_webhook() for _ in range(4)]
    for webhook in webhooks:
        _prove(lanes, webhook)
    for webhook in webhooks:
        _add(lanes, webhook)
    _flights(lanes, 10.0)
    for webhook in webhooks:
        _add(lanes, webhook, 3)
    assert lanes.waiting == 12
    lanes.age(12.0)
    given_up = lanes.surplus()
    assert Counter(one.delivery.webhook_id for one in given_up) == dict.fromkeys(
        (webhook.webhook_id for webhook in webhooks), 2
    )
    assert not lanes.surplus()
    assert lanes.waiting == 4


def test_a_webhook_that_fails_may_have_no_more_waiting_than_in_flight() -> None:
    lanes, webhook = FairQueue(BOUNDS), a_webhook()
    lane = _prove(lanes, webhook)
    _add(lanes, webhook)
    ((_, flight),) = _flights(lanes)
    _fail(lanes, flight)
    assert sum(lanes.reserve(webhook, 0, 1) for _ in range(20)) == lane.limit


def test_what_a_webhook_that_times_out_has_waiting_beyond_its_bound_is_given_up() -> None:
    lanes, webhook = FairQueue(BOUNDS), a_webhook()
    _add(lanes, webhook, 6)
    (_, flight), *_ = _flights(lanes)
    _time_out(lanes, flight)
    assert len(lanes.surplus()) == 1
    assert lanes.waiting == 2


def test_a_lease_that_runs_out_gives_the_delivery_up() -> None:
    lanes, webhook = FairQueue(BOUNDS), a_webhook()
    early, late = held(webhook, leased_until=10.0), held(webhook, leased_until=20.0)
    for one in (early, late):
        lanes.add(one, webhook, 0)
    assert lanes.expiring(15.0) == [early]
    assert [one for one, _ in _flights(lanes)] == [late]


# When to claim again.


def test_more_is_claimed_once_half_of_the_room_is_free_and_not_before() -> None:
    lanes, webhook = FairQueue(Bounds(in_flight=64, per_webhook=4)), a_webhook()
    lane = _prove(lanes, webhook)
    assert lanes.rooms() == {webhook.webhook_id: 16}
    _add(lanes, webhook, 16)
    lanes.note_more(webhook.webhook_id)
    hungry = []
    while lanes.waiting:
        for _, flight in _flights(lanes):
            _answer(lanes, flight)
            hungry.append((lanes.waiting, lanes.is_hungry(lane)))
    assert [waiting for waiting, told in hungry if told] == [8]


def test_after_a_claim_for_which_nothing_was_free_one_is_made_when_half_is() -> None:
    lanes, webhook = FairQueue(Bounds(per_webhook=100, waiting=10)), a_webhook()
    lane = _prove(lanes, webhook)
    _add(lanes, webhook, 10)
    lanes.note_starved()
    assert not lanes.is_hungry(lane)
    lanes.surplus()
    for _, flight in _flights(lanes):
        _answer(lanes, flight)
    assert lanes.is_hungry(lane)
    assert not lanes.is_hungry(lane)


def test_nothing_is_claimed_of_a_webhook_at_its_bound() -> None:
    lanes, webhook = FairQueue(BOUNDS), a_webhook()
    _add(lanes, webhook, 3)
    _flights(lanes)
    assert lanes.rooms() == {webhook.webhook_id: 0}
    lanes.note_more(webhook.webhook_id)


def test_that_storage_has_more_is_of_no_use_for_a_webhook_that_was_forgotten_meanwhile() -> None:
    lanes, webhook = FairQueue(BOUNDS), a_webhook()
    _add(lanes, webhook, 1)
    for _, flight in _flights(lanes):
        _answer(lanes, flight)
    asked_of = lanes.rooms()
    lanes.forget_idle(1e9)
    for webhook_id in asked_of:
        lanes.note_more(webhook_id)
    assert not lanes.rooms()


# What changes meanwhile.


def test_nothing_goes_out_after_a_change_before_the_webhook_was_read_again() -> None:
    lanes, webhook = FairQueue(BOUNDS), a_webhook()
    added = _add(lanes, webhook, 2)
    assert lanes.on_webhooks_changed(1)
    assert not lanes.on_webhooks_changed(1)
    assert not _flights(lanes)
    assert lanes.stale() == [webhook.webhook_id]
    changed = attrs.evolve(webhook, url="https://new.example.com/")
    assert lanes.refresh(webhook.webhook_id, changed, 1) == []
    out = _flights(lanes)
    assert [one for one, _ in out] == added
    assert {flight.lane.webhook.url for _, flight in out} == {changed.url}


def test_what_waits_for_a_webhook_that_may_not_be_sent_to_is_given_up() -> None:
    lanes, webhook = FairQueue(BOUNDS), a_webhook()
    added = _add(lanes, webhook, 2)
    lanes.on_webhooks_changed(1)
    assert lanes.refresh(webhook.webhook_id, None, 1) == added
    assert lanes.waiting == lanes.waiting_bytes == 0


def test_what_was_read_before_a_deletion_and_arrives_after_it_is_not_sent() -> None:
    """A publish may have begun before the deletion, and hand over when it is already known."""
    lanes, webhook = FairQueue(BOUNDS), a_webhook()
    _add(lanes, webhook, 2)
    (_, out), _ = _flights(lanes)
    _add(lanes, webhook, 1)
    lanes.on_webhooks_changed(1)
    lanes.refresh(webhook.webhook_id, None, 1)
    assert lanes.reserve(webhook, 0, 2)
    assert not lanes.fill(held(webhook))
    assert not _flights(lanes)
    assert lanes.stale() == [webhook.webhook_id]
    assert out.lane.in_flight == 2


def test_a_webhook_enabled_again_is_sent_to_as_it_is_now() -> None:
    """Though a request from before is still out, and its disabling ended by time alone."""
    lanes, webhook = FairQueue(BOUNDS), a_webhook()
    _add(lanes, webhook, 2)
    _flights(lanes)
    _add(lanes, webhook)
    lanes.on_webhooks_changed(1)
    lanes.refresh(webhook.webhook_id, None, 1)
    changed = attrs.evolve(webhook, url="https://new.example.com/")
    _add(lanes, changed, webhooks_revision=1)
    ((_, flight),) = _flights(lanes)
    assert flight.lane.webhook == changed


def test_a_reading_overtaken_by_a_later_one_counts_for_nothing() -> None:
    lanes, webhook = FairQueue(BOUNDS), a_webhook()
    _add(lanes, webhook)
    lanes.on_webhooks_changed(2)
    newest = attrs.evolve(webhook, url="https://newest.example.com/")
    _add(lanes, newest, webhooks_revision=2)
    assert lanes.refresh(webhook.webhook_id, webhook, 1) == []
    assert lanes.refresh(webhook.webhook_id, None, 1) == []
    assert [flight.lane.webhook for _, flight in _flights(lanes)] == [newest, newest]


def test_what_waited_goes_on_when_a_publish_read_the_webhook_again_and_then_failed() -> None:
    lanes, webhook = FairQueue(BOUNDS), a_webhook()
    _add(lanes, webhook)
    lanes.on_webhooks_changed(1)
    assert not _flights(lanes)
    assert lanes.reserve(webhook, 1, 2)
    lanes.unreserve(webhook.webhook_id, 2)
    assert len(_flights(lanes)) == 1


def test_a_lane_is_forgotten_when_idle_and_never_while_it_holds_something() -> None:
    lanes, idle, reserved, waiting, out = FairQueue(BOUNDS), *(a_webhook() for _ in range(4))
    _prove(lanes, idle)
    _add(lanes, out)
    _flights(lanes)
    lanes.reserve(reserved, 0, 2)
    _add(lanes, waiting)
    lanes.forget_idle(1e9)
    assert lanes.rooms().keys() == {one.webhook_id for one in (reserved, waiting, out)}
    assert lanes.refresh(idle.webhook_id, idle, 1) == []


# All of it together.


class LanesMachine(RuleBasedStateMachine):
    """Webhooks that change, answer, fail and hang in any order, against a plain model."""

    def __init__(self) -> None:
        super().__init__()
        self.lanes = FairQueue(BOUNDS)
        self.now = 0.0
        self.known_changes = 0
        self.history: list[dict[UUID, Webhook | None]] = []
        self.lane_of: dict[UUID, WebhookQueue] = {}
        self.waiting: list[QueuedDelivery] = []
        self.reserved: list[QueuedDelivery] = []
        self.out: list[tuple[QueuedDelivery, InFlightRequest]] = []
        self.names = count()

    @initialize()
    def five_webhooks(self) -> None:
        self.history.append({one.webhook_id: one for one in (a_webhook() for _ in range(5))})

    def _pick(self, data: st.DataObject) -> tuple[Webhook, int] | None:
        """Pick a webhook as some transaction may have read it, and what it knew of changes."""
        webhooks_revision = data.draw(st.integers(0, len(self.history) - 1))
        webhook_id = data.draw(st.sampled_from(sorted(self.history[0])))
        webhook = self.history[webhooks_revision][webhook_id]
        return (webhook, webhooks_revision) if webhook else None

    def _gone_from_waiting(self, given: list[QueuedDelivery]) -> None:
        for one in given:
            self.waiting.remove(one)

    @rule(data=st.data(), size=st.integers(1, 300))
    def reserve(self, data: st.DataObject, size: int) -> None:
        if picked := self._pick(data):
            webhook, webhooks_revision = picked
            if self.lanes.reserve(webhook, webhooks_revision, size):
                self.reserved.append(held(webhook, size=size, leased_until=self.now + 30))

    @precondition(lambda self: self.reserved)
    @rule(data=st.data(), commits=st.booleans())
    def commit(self, data: st.DataObject, commits: bool) -> None:  # noqa: FBT001 - drawn
        one = self.reserved.pop(data.draw(st.integers(0, len(self.reserved) - 1)))
        if commits:
            self.lanes.fill(one)
            self.waiting.append(one)
        else:
            self.lanes.unreserve(one.delivery.webhook_id, len(one.delivery.body))

    @rule(data=st.data(), size=st.integers(1, 300))
    def claim(self, data: st.DataObject, size: int) -> None:
        picked = self._pick(data)
        if not picked or self.lanes.waiting >= BOUNDS.waiting:
            return
        webhook, webhooks_revision = picked
        if not self.lanes.rooms().get(webhook.webhook_id, self.lanes.newcomer_room()):
            return
        one = held(webhook, size=size, leased_until=self.now + 30)
        self.lanes.add(one, webhook, webhooks_revision)
        self.waiting.append(one)

    @rule(data=st.data(), deleted=st.booleans())
    def change(self, data: st.DataObject, deleted: bool) -> None:  # noqa: FBT001 - drawn
        webhook_id = data.draw(st.sampled_from(sorted(self.history[0])))
        url = f"https://{next(self.names)}.example.com/"
        webhook = None if deleted else a_webhook(webhook_id, url=url)
        self.history.append({**self.history[-1], webhook_id: webhook})

    @rule()
    def hear_of_changes(self) -> None:
        self.known_changes = len(self.history) - 1
        self.lanes.on_webhooks_changed(self.known_changes)

    @rule(data=st.data())
    def refresh(self, data: st.DataObject) -> None:
        webhooks_revision = data.draw(st.integers(0, len(self.history) - 1))
        for webhook_id in self.lanes.stale():
            webhook = self.history[webhooks_revision][webhook_id]
            self._gone_from_waiting(self.lanes.refresh(webhook_id, webhook, webhooks_revision))

    @rule(most=st.integers(1, 8))
    def send(self, most: int) -> None:
        for _ in range(most):
            start = self.lanes.next(self.now)
            if start is None:
                self._check_that_nobody_starves()
                return
            one, flight = start
            self._check_the_webhook(one.delivery.webhook_id, flight.lane.webhook)
            self.waiting.remove(one)
            self.out.append(start)
            self.lane_of[one.delivery.webhook_id] = flight.lane

    def _check_the_webhook(self, webhook_id: UUID, webhook: Webhook) -> None:
        """Check that what is sent to was so at some moment after the latest known change."""
        since = self.history[self.known_changes :]
        assert any(then[webhook_id] == webhook for then in since)

    def _check_that_nobody_starves(self) -> None:
        if len(self.out) == BOUNDS.in_flight:
            return
        full = {
            half: sum(flight.lane.proven is half for _, flight in self.out) >= 4
            for half in (True, False)
        }
        stale = set(self.lanes.stale())
        for webhook_id in {one.delivery.webhook_id for one in self.waiting} - stale:
            lane = self.lane_of.get(webhook_id)
            assert lane is None or lane.in_flight >= lane.limit or full[lane.proven]
            assert lane is not None or full[False]

    @precondition(lambda self: self.out)
    @rule(data=st.data(), end=st.sampled_from([_answer, _fail, _time_out]))
    def end(self, data: st.DataObject, end: object) -> None:
        assert callable(end)
        _, flight = self.out.pop(data.draw(st.integers(0, len(self.out) - 1)))
        end(self.lanes, flight, self.now)
        self.lanes.is_hungry(flight.lane)

    @precondition(lambda self: self.out)
    @rule(data=st.data(), back=st.booleans())
    def do_not_send(self, data: st.DataObject, back: bool) -> None:  # noqa: FBT001 - drawn
        one, flight = self.out.pop(data.draw(st.integers(0, len(self.out) - 1)))
        if back:
            self.lanes.put_back(one, flight)
            self.waiting.append(one)
        else:
            self.lanes.unsent(flight)

    @rule(seconds=st.floats(0, 40))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.lanes.age(self.now)
        self._gone_from_waiting(self.lanes.expiring(self.now + 10))
        self._gone_from_waiting(self.lanes.surplus())
        assert not self.lanes.surplus()

    @rule()
    def forget(self) -> None:
        self.lanes.forget_idle(self.now)
        known = self.lanes.rooms()
        self.lane_of = {key: lane for key, lane in self.lane_of.items() if key in known}

    @rule()
    def drain(self) -> None:
        given = self.lanes.drain()
        assert Counter(map(id, given)) == Counter(map(id, self.waiting))
        self.waiting.clear()

    @invariant()
    def counts_are_exact_and_within_their_bounds(self) -> None:
        kept = self.waiting + self.reserved
        assert self.lanes.in_flight == len(self.out) <= BOUNDS.in_flight
        assert self.lanes.waiting == len(kept) <= BOUNDS.waiting
        assert self.lanes.waiting_bytes == sum(len(one.delivery.body) for one in kept)
        by_webhook = Counter(one.delivery.webhook_id for one, _ in self.out)
        assert max(by_webhook.values(), default=0) <= BOUNDS.per_webhook
        for webhook_id, number in by_webhook.items():
            assert self.lane_of[webhook_id].in_flight == number
        assert all(room >= 0 for room in self.lanes.rooms().values())


LanesMachine.TestCase.settings = settings(max_examples=50, stateful_step_count=60, deadline=None)
TestLanesMachine = LanesMachine.TestCase
