"""Queues: who may send next, and that no webhook hurts another."""

import gc
import weakref
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import count
from uuid import UUID

import attrs
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from notification_core.concurrency.ids import milliseconds_of
from notification_core.dispatch.capacity import Bounds
from notification_core.dispatch.fair_queue import SLOW_AFTER, FairQueue
from notification_core.dispatch.webhook_queue import InFlightRequest, QueuedDelivery, WebhookQueue
from notification_core.ingest.plan import Place
from notification_core.model.webhook import Webhook
from tests.support.samples import a_webhook, an_id, held

BOUNDS = Bounds(in_flight=8, per_webhook=3, waiting=12, waiting_bytes=1200)


def _requests(queue: FairQueue, now: float = 0.0) -> list[tuple[QueuedDelivery, InFlightRequest]]:
    """Start all that may start."""
    started = []
    while (start := queue.next(now)) is not None:
        started.append(start)
    return started


def _add(
    queue: FairQueue, webhook: Webhook, number: int = 1, *, webhooks_revision: int = 0
) -> list[QueuedDelivery]:
    added = [held(webhook) for _ in range(number)]
    for one in added:
        queue.add(one, webhook, webhooks_revision)
    return added


def _reserve(queue: FairQueue, webhook: Webhook, size: int) -> bool:
    return queue.reserve(webhook, 0, size) is not None


def _respond(queue: FairQueue, request: InFlightRequest, now: float = 0.0) -> None:
    queue.finish(request, now, responded=True, succeeded=True)


def _fail(queue: FairQueue, request: InFlightRequest, now: float = 0.0) -> None:
    queue.finish(request, now, responded=True, succeeded=False)


def _time_out(queue: FairQueue, request: InFlightRequest, now: float = 0.0) -> None:
    queue.finish(request, now, responded=False, succeeded=False)


def _prove(queue: FairQueue, webhook: Webhook, *, webhooks_revision: int = 0) -> WebhookQueue:
    """Let a webhook answer once."""
    _add(queue, webhook, webhooks_revision=webhooks_revision)
    ((_, request),) = _requests(queue)
    _respond(queue, request)
    return request.queue


# Turns.


def test_webhooks_take_turns_however_much_one_of_them_has_waiting() -> None:
    queue, busy, modest = FairQueue(Bounds(in_flight=4, per_webhook=1)), a_webhook(), a_webhook()
    _add(queue, busy, 5)
    _add(queue, modest, 2)
    sent = []
    while out := _requests(queue):
        for one, request in out:
            sent.append(one.delivery.webhook_id)
            _respond(queue, request)
    assert sent[:4] == [busy.webhook_id, modest.webhook_id] * 2


def test_deliveries_of_a_webhook_go_out_in_the_order_in_which_they_came() -> None:
    queue, webhook = FairQueue(Bounds()), a_webhook()
    added = _add(queue, webhook, 5)
    assert [one for one, _ in _requests(queue)] == added


def test_a_delivery_put_back_is_the_next_of_its_webhook() -> None:
    queue, webhook = FairQueue(Bounds(in_flight=2, per_webhook=1)), a_webhook()
    first, _ = _add(queue, webhook, 2)
    ((_, request),) = _requests(queue)
    queue.put_back(first, request)
    assert [one for one, _ in _requests(queue)] == [first]


# What those who watch want to know.


def test_a_webhook_holds_back_its_deliveries_from_when_it_was_at_its_bound() -> None:
    queue, busy, idle = FairQueue(BOUNDS), a_webhook(), a_webhook()
    _add(queue, idle)
    _add(queue, busy, 3)
    started = _requests(queue, 10.0)
    assert queue.holds_back(busy.webhook_id, 50.0), "it is at its bound still"
    for one, request in started:
        if one.delivery.webhook_id == busy.webhook_id:
            _respond(queue, request, 20.0)
    assert queue.holds_back(busy.webhook_id, 20.0)
    assert not queue.holds_back(busy.webhook_id, 20.1)
    assert not queue.holds_back(idle.webhook_id, 0.0)
    assert not queue.holds_back(a_webhook().webhook_id, 0.0)


def test_what_waits_is_as_late_as_its_first_attempt_or_as_its_claim() -> None:
    queue, lease = FairQueue(Bounds(in_flight=2, per_webhook=1)), timedelta(seconds=30)
    claimed = held(a_webhook())
    stored_at = milliseconds_of(claimed.delivery.fence.delivery_id) / 1000
    at = datetime.fromtimestamp(stored_at + 100, UTC)
    assert queue.oldest_waiting(1000.0, at, lease) == timedelta()
    retried = attrs.evolve(claimed.delivery, fence=attrs.evolve(claimed.delivery.fence, attempt=2))
    retry = QueuedDelivery(retried, leased_until=1000.0 - 7.0 + lease.total_seconds())
    queue.add(retry, a_webhook(webhook_id=retried.webhook_id), 0)
    assert queue.oldest_waiting(1000.0, at, lease) == timedelta(seconds=7)
    limited = a_webhook(rate_limit=1)
    queue.add(held(limited), limited, 0)
    assert queue.oldest_waiting(1000.0, at, lease) == timedelta(seconds=7), "it waits for its turn"
    other = a_webhook()
    queue.add(
        attrs.evolve(claimed, delivery=attrs.evolve(claimed.delivery, webhook_id=other.webhook_id)),
        other,
        0,
    )
    assert queue.oldest_waiting(1000.0, at, lease) == timedelta(seconds=100)


def test_an_environment_counts_once_and_as_reached_if_any_of_its_webhooks_is() -> None:
    queue, bounds = FairQueue(Bounds()), 1.0
    gone, (good, bad) = a_webhook(), (a_webhook(), a_webhook())
    gone = attrs.evolve(gone, environment_id=an_id())
    for webhook in (gone, good, bad):
        _add(queue, webhook)
    for one, request in _requests(queue):
        (_respond if one.delivery.webhook_id == good.webhook_id else _time_out)(
            queue, request, bounds
        )
    _add(queue, attrs.evolve(a_webhook(), environment_id=an_id()))
    assert queue.environments() == {True: 1, False: 1}


# What is in flight.


def test_a_webhook_has_no_more_in_flight_than_its_bound() -> None:
    queue, webhook = FairQueue(BOUNDS), a_webhook()
    _add(queue, webhook, 5)
    assert len(_requests(queue)) == BOUNDS.per_webhook


def test_webhooks_that_hang_leave_half_of_the_slots_to_those_that_answer() -> None:
    queue, good = FairQueue(BOUNDS), a_webhook()
    _prove(queue, good)
    for _ in range(10):
        _add(queue, a_webhook())
    assert len(_requests(queue)) == 4
    _add(queue, good, 3)
    assert len(_requests(queue)) == 3


def test_a_webhook_that_begins_to_hang_makes_room_for_others_after_a_second() -> None:
    queue = FairQueue(BOUNDS)
    hanging, good = a_webhook(), a_webhook()
    for webhook in (hanging, good):
        _prove(queue, webhook)
    _add(queue, hanging, 3)
    _requests(queue, 10.0)
    queue.age(10.0 + SLOW_AFTER)
    _add(queue, good, 3)
    assert len(_requests(queue, 11.0)) == 3


def test_a_webhook_whose_slow_requests_have_ended_counts_as_answering_again() -> None:
    queue, slow = FairQueue(BOUNDS), a_webhook()
    _prove(queue, slow)
    _add(queue, slow, 2)
    out = _requests(queue, 10.0)
    queue.age(10.0 + SLOW_AFTER)
    for _, request in out:
        _respond(queue, request, 12.0)
    for _ in range(10):
        _add(queue, a_webhook())
    assert len(_requests(queue, 12.0)) == 4
    _add(queue, slow, 3)
    assert len(_requests(queue, 12.0)) == 3


def test_a_webhook_that_has_answered_need_not_wait_behind_those_that_hang() -> None:
    """Its turn came in the half of the newcomers; by then that half was full."""
    queue, good = FairQueue(BOUNDS), a_webhook()
    _add(queue, good)
    ((_, request),) = _requests(queue)
    for _ in range(10):
        _add(queue, a_webhook())
    _requests(queue)
    (waiting,) = _add(queue, good)
    _respond(queue, request)
    assert waiting in [one for one, _ in _requests(queue)]


def test_a_webhook_that_times_out_is_tried_with_two_at_a_time_until_it_answers() -> None:
    queue, webhook = FairQueue(Bounds(per_webhook=8)), a_webhook()
    _add(queue, webhook, 40)
    for _, request in _requests(queue):
        _time_out(queue, request)
    (_, one), (_, other) = _requests(queue)
    _respond(queue, one)
    assert len(_requests(queue)) == 3
    _time_out(queue, other)
    assert not _requests(queue)


# What may wait.


def test_no_more_may_wait_than_the_bounds_say() -> None:
    queue, webhook = FairQueue(BOUNDS), a_webhook()
    _prove(queue, webhook)
    assert sum(_reserve(queue, webhook, 1) for _ in range(20)) == BOUNDS.waiting


def test_no_more_bytes_may_wait_than_the_bounds_say() -> None:
    queue, webhook = FairQueue(BOUNDS), a_webhook()
    _prove(queue, webhook)
    assert sum(_reserve(queue, webhook, 500) for _ in range(20)) == 2
    assert queue.capacity.waiting_bytes == 1000


@pytest.mark.parametrize(("size", "number"), [(1, 6), (200, 3)])
def test_webhooks_that_never_answered_leave_half_of_the_places_to_those_that_do(
    size: int, number: int
) -> None:
    queue, good = FairQueue(BOUNDS), a_webhook()
    _prove(queue, good)
    assert sum(_reserve(queue, a_webhook(), size) for _ in range(20)) == number
    assert queue.new_webhook_limit() == 0
    assert queue.claim_limits()[good.webhook_id] > 0
    assert queue.reserve(good, 0, size)


def test_when_many_begin_to_hang_at_once_half_of_what_waits_is_given_up() -> None:
    queue = FairQueue(BOUNDS)
    webhooks = [a_webhook() for _ in range(4)]
    for webhook in webhooks:
        _prove(queue, webhook)
    for webhook in webhooks:
        _add(queue, webhook)
    _requests(queue, 10.0)
    for webhook in webhooks:
        _add(queue, webhook, 3)
    assert queue.capacity.waiting == 12
    queue.age(12.0)
    given_up = queue.surplus()
    assert Counter(one.delivery.webhook_id for one in given_up) == dict.fromkeys(
        (webhook.webhook_id for webhook in webhooks), 2
    )
    assert not queue.surplus()
    assert queue.capacity.waiting == 4


def test_a_webhook_that_fails_may_have_no_more_waiting_than_in_flight() -> None:
    queue, webhook = FairQueue(BOUNDS), a_webhook()
    webhook_queue = _prove(queue, webhook)
    _add(queue, webhook)
    ((_, request),) = _requests(queue)
    _fail(queue, request)
    assert sum(_reserve(queue, webhook, 1) for _ in range(20)) == webhook_queue.limit


def test_what_a_webhook_that_times_out_has_waiting_beyond_its_bound_is_given_up() -> None:
    queue, webhook = FairQueue(BOUNDS), a_webhook()
    _add(queue, webhook, 6)
    (_, request), *_ = _requests(queue)
    _time_out(queue, request)
    assert len(queue.surplus()) == 1
    assert queue.capacity.waiting == 2


def test_a_lease_that_runs_out_gives_the_delivery_up() -> None:
    queue, webhook = FairQueue(BOUNDS), a_webhook()
    early, late = held(webhook, leased_until=10.0), held(webhook, leased_until=20.0)
    for one in (early, late):
        queue.add(one, webhook, 0)
    assert queue.expiring(15.0) == [early]
    assert [one for one, _ in _requests(queue)] == [late]


# When to claim again.


def test_more_is_claimed_once_half_of_the_room_is_free_and_not_before() -> None:
    queue, webhook = FairQueue(Bounds(in_flight=64, per_webhook=4)), a_webhook()
    webhook_queue = _prove(queue, webhook)
    assert queue.claim_limits() == {webhook.webhook_id: 16}
    _add(queue, webhook, 16)
    queue.note_more(webhook.webhook_id)
    hungry = []
    while queue.capacity.waiting:
        for _, request in _requests(queue):
            _respond(queue, request)
            hungry.append((queue.capacity.waiting, queue.should_claim(webhook_queue)))
    assert [waiting for waiting, told in hungry if told] == [8]


def test_after_a_claim_for_which_nothing_was_free_one_is_made_when_half_is() -> None:
    queue, webhook = FairQueue(Bounds(per_webhook=100, waiting=10)), a_webhook()
    webhook_queue = _prove(queue, webhook)
    _add(queue, webhook, 10)
    queue.note_full()
    assert not queue.should_claim(webhook_queue)
    queue.surplus()
    for _, request in _requests(queue):
        _respond(queue, request)
    assert queue.should_claim(webhook_queue)
    assert not queue.should_claim(webhook_queue)


def test_nothing_is_claimed_of_a_webhook_at_its_bound() -> None:
    queue, webhook = FairQueue(BOUNDS), a_webhook()
    _add(queue, webhook, 3)
    _requests(queue)
    assert queue.claim_limits() == {webhook.webhook_id: 0}
    queue.note_more(webhook.webhook_id)


def test_that_storage_has_more_is_of_no_use_for_a_webhook_that_was_forgotten_meanwhile() -> None:
    queue, webhook = FairQueue(BOUNDS), a_webhook()
    _add(queue, webhook, 1)
    for _, request in _requests(queue):
        _respond(queue, request)
    asked_of = queue.claim_limits()
    queue.forget_idle(1e9)
    for webhook_id in asked_of:
        queue.note_more(webhook_id)
    assert not queue.claim_limits()


# What changes meanwhile.


def test_nothing_goes_out_after_a_change_before_the_webhook_was_read_again() -> None:
    queue, webhook = FairQueue(BOUNDS), a_webhook()
    added = _add(queue, webhook, 2)
    assert queue.on_webhooks_changed(1)
    assert not queue.on_webhooks_changed(1)
    assert not _requests(queue)
    assert queue.stale() == [webhook.webhook_id]
    changed = attrs.evolve(webhook, url="https://new.example.com/")
    assert queue.refresh(webhook.webhook_id, changed, 1) == []
    out = _requests(queue)
    assert [one for one, _ in out] == added
    assert {request.queue.webhook.url for _, request in out} == {changed.url}


def test_what_waits_for_a_webhook_that_may_not_be_sent_to_is_given_up() -> None:
    queue, webhook = FairQueue(BOUNDS), a_webhook()
    added = _add(queue, webhook, 2)
    queue.on_webhooks_changed(1)
    assert queue.refresh(webhook.webhook_id, None, 1) == added
    assert queue.capacity.waiting == queue.capacity.waiting_bytes == 0


def test_what_was_read_before_a_deletion_and_arrives_after_it_is_not_sent() -> None:
    """A publish may have begun before the deletion, and hand over when it is already known."""
    queue, webhook = FairQueue(BOUNDS), a_webhook()
    _add(queue, webhook, 2)
    (_, out), _ = _requests(queue)
    _add(queue, webhook, 1)
    queue.on_webhooks_changed(1)
    queue.refresh(webhook.webhook_id, None, 1)
    assert queue.reserve(webhook, 0, 2)
    assert not queue.fill(held(webhook))
    assert not _requests(queue)
    assert queue.stale() == [webhook.webhook_id]
    assert out.queue.in_flight == 2


def test_a_webhook_enabled_again_is_sent_to_as_it_is_now() -> None:
    """Though a request from before is still out, and its disabling ended by time alone."""
    queue, webhook = FairQueue(BOUNDS), a_webhook()
    _add(queue, webhook, 2)
    _requests(queue)
    _add(queue, webhook)
    queue.on_webhooks_changed(1)
    queue.refresh(webhook.webhook_id, None, 1)
    changed = attrs.evolve(webhook, url="https://new.example.com/")
    _add(queue, changed, webhooks_revision=1)
    ((_, request),) = _requests(queue)
    assert request.queue.webhook == changed


def test_a_reading_overtaken_by_a_later_one_counts_for_nothing() -> None:
    queue, webhook = FairQueue(BOUNDS), a_webhook()
    _add(queue, webhook)
    queue.on_webhooks_changed(2)
    newest = attrs.evolve(webhook, url="https://newest.example.com/")
    _add(queue, newest, webhooks_revision=2)
    assert queue.refresh(webhook.webhook_id, webhook, 1) == []
    assert queue.refresh(webhook.webhook_id, None, 1) == []
    assert [request.queue.webhook for _, request in _requests(queue)] == [newest, newest]


def test_what_waited_goes_on_when_a_publish_read_the_webhook_again_and_then_failed() -> None:
    queue, webhook = FairQueue(BOUNDS), a_webhook()
    _add(queue, webhook)
    queue.on_webhooks_changed(1)
    assert not _requests(queue)
    assert queue.reserve(webhook, 1, 2)
    queue.unreserve(held(webhook, size=2).delivery)
    assert len(_requests(queue)) == 1


def test_a_queue_is_forgotten_when_idle_and_never_while_it_holds_something() -> None:
    queue, idle, reserved, waiting, out = FairQueue(BOUNDS), *(a_webhook() for _ in range(4))
    _prove(queue, idle)
    _add(queue, out)
    _requests(queue)
    queue.reserve(reserved, 0, 2)
    _add(queue, waiting)
    queue.forget_idle(1e9)
    assert queue.claim_limits().keys() == {one.webhook_id for one in (reserved, waiting, out)}
    assert queue.refresh(idle.webhook_id, idle, 1) == []


def test_a_queue_that_is_forgotten_leaves_nothing_behind() -> None:
    queue = FairQueue(BOUNDS)
    forgotten = weakref.ref(_prove(queue, a_webhook()))
    queue.age(SLOW_AFTER)
    queue.forget_idle(1e9)
    gc.collect()
    assert forgotten() is None


# All of it together.


class FairQueueMachine(RuleBasedStateMachine):
    """Webhooks that change, answer, fail and hang in any order, against a plain model."""

    def __init__(self) -> None:
        super().__init__()
        self.queue = FairQueue(BOUNDS)
        self.now = 0.0
        self.known_changes = 0
        self.history: list[dict[UUID, Webhook | None]] = []
        self.queue_of: dict[UUID, WebhookQueue] = {}
        self.waiting: list[QueuedDelivery] = []
        self.reserved: list[QueuedDelivery] = []
        self.beginning: list[QueuedDelivery] = []
        self.prefetched: set[int] = set()
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

    def _held(self, webhook: Webhook, size: int, prefetched: bool) -> QueuedDelivery:  # noqa: FBT001 - as a place says
        return held(webhook, size=size, leased_until=self.now + 30, prefetched=prefetched)

    def _webhooks_with_prefetched(self) -> set[UUID]:
        return {one.delivery.webhook_id for one in self.waiting if id(one) in self.prefetched}

    def _gone_from_waiting(self, given: list[QueuedDelivery]) -> None:
        for one in given:
            self.waiting.remove(one)

    @rule(data=st.data(), size=st.integers(1, 300))
    def reserve(self, data: st.DataObject, size: int) -> None:
        if picked := self._pick(data):
            webhook, webhooks_revision = picked
            if place := self.queue.reserve(webhook, webhooks_revision, size):
                self.reserved.append(self._held(webhook, size, place is Place.PREFETCHED))

    @precondition(lambda self: self.reserved)
    @rule(data=st.data(), commits=st.booleans())
    def commit(self, data: st.DataObject, commits: bool) -> None:  # noqa: FBT001 - drawn
        one = self.reserved.pop(data.draw(st.integers(0, len(self.reserved) - 1)))
        if commits:
            self.queue.fill(one)
            self.waiting.append(one)
            self.prefetched |= {id(one)} if one.delivery.prefetched else set()
        else:
            self.queue.unreserve(one.delivery)

    @rule(data=st.data(), size=st.integers(1, 300))
    def claim(self, data: st.DataObject, size: int) -> None:
        picked = self._pick(data)
        if not picked or self.queue.capacity.waiting >= BOUNDS.waiting:
            return
        webhook, webhooks_revision = picked
        if not self.queue.claim_limits().get(webhook.webhook_id, self.queue.new_webhook_limit()):
            return
        capacity = self.queue.capacity
        one = self._held(webhook, size, not capacity.free_attempts(capacity.unresponsive))
        self.queue.add(one, webhook, webhooks_revision)
        self.waiting.append(one)
        self.prefetched |= {id(one)} if one.delivery.prefetched else set()

    @precondition(lambda self: not self.beginning)
    @rule()
    def take_prefetched(self) -> None:
        capacity, responsive = self.queue.capacity, self.queue.capacity.responsive
        self.beginning = self.queue.take_prefetched()
        self._gone_from_waiting(self.beginning)
        assert {id(one) for one in self.beginning} <= self.prefetched
        if not self.beginning and responsive.begun == responsive.in_flight:
            for webhook_id in self._webhooks_with_prefetched():
                if webhook_queue := self.queue_of.get(webhook_id):
                    assert not capacity.begin_limit(webhook_queue), "nobody waits for nothing"

    @precondition(lambda self: self.beginning)
    @rule(begins=st.booleans())
    def begin(self, begins: bool) -> None:  # noqa: FBT001 - drawn
        if begins:
            self.queue.begin(self.beginning)
            self.prefetched -= {id(one) for one in self.beginning}
        else:
            self.queue.return_prefetched(self.beginning)
        self.waiting += self.beginning
        self.beginning = []

    @rule(data=st.data(), deleted=st.booleans())
    def change(self, data: st.DataObject, deleted: bool) -> None:  # noqa: FBT001 - drawn
        webhook_id = data.draw(st.sampled_from(sorted(self.history[0])))
        url = f"https://{next(self.names)}.example.com/"
        webhook = None if deleted else a_webhook(webhook_id, url=url)
        self.history.append({**self.history[-1], webhook_id: webhook})

    @rule()
    def hear_of_changes(self) -> None:
        self.known_changes = len(self.history) - 1
        self.queue.on_webhooks_changed(self.known_changes)

    @rule(data=st.data())
    def refresh(self, data: st.DataObject) -> None:
        webhooks_revision = data.draw(st.integers(0, len(self.history) - 1))
        for webhook_id in self.queue.stale():
            webhook = self.history[webhooks_revision][webhook_id]
            self._gone_from_waiting(self.queue.refresh(webhook_id, webhook, webhooks_revision))

    @rule(most=st.integers(1, 8))
    def send(self, most: int) -> None:
        for _ in range(most):
            start = self.queue.next(self.now)
            if start is None:
                self._check_that_nobody_starves()
                return
            one, request = start
            self._check_the_webhook(one.delivery.webhook_id, request.queue.webhook)
            assert id(one) not in self.prefetched, "what is sent has begun"
            self.waiting.remove(one)
            self.out.append(start)
            self.queue_of[one.delivery.webhook_id] = request.queue

    def _check_the_webhook(self, webhook_id: UUID, webhook: Webhook) -> None:
        """Check that what is sent to was so at some moment after the latest known change."""
        since = self.history[self.known_changes :]
        assert any(then[webhook_id] == webhook for then in since)

    def _check_that_nobody_starves(self) -> None:
        if len(self.out) == BOUNDS.in_flight:
            return
        capacity = self.queue.capacity
        full = {
            id(share): sum(request.queue.share is share for _, request in self.out) >= 4
            for share in (capacity.responsive, capacity.unresponsive)
        }
        stale = set(self.queue.stale())
        begun = [one for one in self.waiting if id(one) not in self.prefetched]
        for webhook_id in {one.delivery.webhook_id for one in begun} - stale:
            webhook_queue = self.queue_of.get(webhook_id)
            assert (
                webhook_queue is None
                or webhook_queue.in_flight >= webhook_queue.limit
                or full[id(webhook_queue.share)]
            )
            assert webhook_queue is not None or full[id(capacity.unresponsive)]

    @precondition(lambda self: self.out)
    @rule(data=st.data(), end=st.sampled_from([_respond, _fail, _time_out]))
    def end(self, data: st.DataObject, end: object) -> None:
        assert callable(end)
        _, request = self.out.pop(data.draw(st.integers(0, len(self.out) - 1)))
        end(self.queue, request, self.now)
        self.queue.should_claim(request.queue)

    @precondition(lambda self: self.out)
    @rule(data=st.data(), back=st.booleans())
    def do_not_send(self, data: st.DataObject, back: bool) -> None:  # noqa: FBT001 - drawn
        one, request = self.out.pop(data.draw(st.integers(0, len(self.out) - 1)))
        if back:
            self.queue.put_back(one, request)
            self.waiting.append(one)
        else:
            self.queue.cancel(request)

    @rule(seconds=st.floats(0, 40))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.queue.age(self.now)
        self._gone_from_waiting(self.queue.expiring(self.now + 10))
        self._gone_from_waiting(self.queue.surplus())
        assert not self.queue.surplus()

    @rule()
    def forget(self) -> None:
        self.queue.forget_idle(self.now)
        known = self.queue.claim_limits()
        self.queue_of = {
            key: webhook_queue for key, webhook_queue in self.queue_of.items() if key in known
        }

    @rule()
    def drain(self) -> None:
        given = self.queue.drain()
        assert Counter(map(id, given)) == Counter(map(id, self.waiting))
        self.waiting.clear()

    @invariant()
    def counts_are_exact_and_within_their_bounds(self) -> None:
        kept = self.waiting + self.reserved + self.beginning
        unbegun = [one for one in self.waiting if id(one) in self.prefetched]
        unbegun += [one for one in self.reserved if one.delivery.prefetched]
        assert len(self.out) + len(kept) - len(unbegun) <= BOUNDS.in_flight
        assert self.queue.capacity.in_flight == len(self.out) <= BOUNDS.in_flight
        assert self.queue.capacity.waiting == len(kept) <= BOUNDS.waiting
        assert self.queue.capacity.waiting_bytes == sum(len(one.delivery.body) for one in kept)
        by_webhook = Counter(one.delivery.webhook_id for one, _ in self.out)
        assert max(by_webhook.values(), default=0) <= BOUNDS.per_webhook
        for webhook_id, number in by_webhook.items():
            assert self.queue_of[webhook_id].in_flight == number
        assert all(room >= 0 for room in self.queue.claim_limits().values())


FairQueueMachine.TestCase.settings = settings(
    max_examples=50, stateful_step_count=60, deadline=None
)
TestFairQueueMachine = FairQueueMachine.TestCase
