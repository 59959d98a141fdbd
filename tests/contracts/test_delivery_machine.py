"""Whatever happens in whatever order, every storage does as the one in memory does.

And whatever happens, attempt numbers have no gaps and no delivery has two live attempts.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any, TypeVar, cast
from uuid import UUID

import hypothesis.strategies as st
import pytest
from attrs import evolve
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from notification_adapters.memory import ManualClock
from notification_core.errors import (
    DeliveryNotFound,
    EventGone,
    ReplayNotFound,
    ReplayRunning,
    WebhookNotFound,
)
from notification_core.model.circuit_breaker import (
    NO_BREAKER,
    BreakerPolicy,
    CircuitBreaker,
    closes_breaker,
)
from notification_core.model.delivery import (
    AttemptOutcome,
    ClaimedDelivery,
    DeliveryState,
    EndReason,
    Failed,
    Fence,
    NewDelivery,
    Retry,
    Succeeded,
)
from notification_core.model.event import EventToStore
from notification_core.model.ordering import FIRST_GROUP
from notification_core.model.replay import (
    REPLAYABLE,
    Replay,
    ReplayCount,
    ReplayProgress,
    Selection,
)
from notification_core.model.signing_key import new_signing_key
from notification_core.model.webhook import FOREVER, DisabledReason, Webhook
from notification_core.ports.deliveries import Claim, Claimed
from notification_core.ports.retention import FIRST_WEBHOOK
from tests.contracts.harness import DELAY, LEASE, Harness
from tests.contracts.side_by_side import (
    Handle,
    Rows,
    SideBySide,
    backlog_of,
    rows_of,
    seen_of,
)
from tests.contracts.side_by_side import (
    postgres as opened_postgres,
)
from tests.contracts.side_by_side import (
    sqlite as opened_sqlite,
)
from tests.support.postgres_server import PostgresServer
from tests.support.sqlite_template import make_sqlite

T = TypeVar("T")

ENVIRONMENTS = [UUID(int=8), UUID(int=9)]
WORKERS = [UUID(int=1), UUID(int=2)]
HOUR = timedelta(hours=1)

# Positions in lists that grow: they are taken modulo the length, so that shrinking is easy.
ANY = st.integers(0, 5)
BOUNDS = st.fixed_dictionaries(
    {
        "worker": st.sampled_from(WORKERS),
        "limit": st.integers(1, 6),
        "limit_bytes": st.sampled_from([1, 400, 10_000]),
        "new_webhook_limit": st.integers(0, 3),
        "max_webhooks": st.integers(1, 3),
        "begin_limit": st.integers(0, 6),
    }
)
BREAKERS = st.sampled_from(
    [
        NO_BREAKER,
        CircuitBreaker(BreakerPolicy(2, timedelta(seconds=1), timedelta(seconds=3))),
    ]
)
VERDICTS = st.sampled_from(
    [
        (Succeeded(), AttemptOutcome.SUCCEEDED),
        (Retry(timedelta(seconds=3)), AttemptOutcome.FAILED),
        (Retry(timedelta(seconds=3)), AttemptOutcome.INTERRUPTED),
        (Failed(), AttemptOutcome.FAILED),
        (Failed(disables=DisabledReason.GONE), AttemptOutcome.FAILED),
    ]
)
CHANGES = st.sampled_from(["enabled", "paused", "disabled", "moved", "ordered", "unordered"])
KEYS = st.sampled_from([None, "a", "b"])


class DeliveryMachine(RuleBasedStateMachine):
    """Drives the storages alike, and compares what they say and what they keep."""

    def __init__(self, storages: SideBySide, *, looks_closely: bool) -> None:
        super().__init__()
        self._storages = storages
        self._looks_closely = looks_closely
        self._clock = storages.clock
        self._webhooks: list[Webhook] = []
        self._rows = Rows({}, frozenset(), 0)
        self._claimed: list[ClaimedDelivery] = []
        self._replays: list[Replay] = []
        self._erasing: set[UUID] = set()

    def teardown(self) -> None:
        """Compare what customers see in the end."""
        try:
            self._look()
        finally:
            self._storages.close()

    @initialize()
    def three_webhooks(self) -> None:
        for environment_id in (*ENVIRONMENTS, ENVIRONMENTS[0]):
            self.subscribe(environment_id)

    @rule(environment_id=st.sampled_from(ENVIRONMENTS), ordered=st.booleans())
    def subscribe(self, environment_id: UUID, ordered: bool = True) -> None:  # noqa: FBT001, FBT002 - drawn
        if environment_id in self._erasing or len(self._webhooks) > 5:
            return
        now = self._clock.now()
        webhook = Webhook(
            webhook_id=self._storages.ids(),
            environment_id=environment_id,
            name="A webhook",
            url="https://receiver.example.com/hook",
            events=frozenset({"pipeline-created"}),
            created_at=now,
            updated_at=now,
            ordered=ordered,
        )
        self._all(lambda harness: harness.storage.webhooks.add(webhook, most=9))
        self._webhooks.append(webhook)

    @rule(webhook=ANY, number=st.integers(1, 4), taken=st.booleans(), prefetched=st.booleans())
    def publish(self, webhook: int, number: int, taken: bool, prefetched: bool) -> None:  # noqa: FBT001 - drawn
        for _ in range(number):
            self._publish([self._webhook(webhook)], claimed=taken, prefetched=taken and prefetched)

    @rule(webhook=ANY, keys=st.lists(KEYS, min_size=1, max_size=5))
    def publish_in_order(self, webhook: int, keys: list[str | None]) -> None:
        for key in keys:
            self._publish([self._webhook(webhook)], key=key)

    @rule(limit=st.integers(1, 3))
    def release_groups(self, limit: int) -> None:
        self._all(lambda harness: _released(harness, limit))

    @rule(worker=st.sampled_from(WORKERS))
    def enlist(self, worker: UUID) -> None:
        self._all(lambda harness: harness.storage.deliveries.enlist(worker))
        self._all(lambda harness: harness.storage.deliveries.enlisted())

    @rule(data=st.data(), worker=st.sampled_from(WORKERS))
    def begin(self, data: st.DataObject, worker: UUID) -> None:
        begun = {one.fence.delivery_id for one in self._some(data)}
        self._all(lambda harness: harness.storage.deliveries.begin(worker, begun))

    @rule(environment_id=st.sampled_from(ENVIRONMENTS), skipped=st.booleans(), key=KEYS)
    def publish_to_all(self, environment_id: UUID, skipped: bool, key: str | None) -> None:  # noqa: FBT001 - drawn
        webhooks = [one for one in self._webhooks if one.environment_id == environment_id]
        how: Mapping[str, Any] = (
            {"state": DeliveryState.SKIPPED, "reason": EndReason.QUEUE_FULL} if skipped else {}
        )
        self._publish(webhooks, key=key, **how)

    @rule(data=st.data(), changed=st.booleans())
    def publish_again(self, data: st.DataObject, changed: bool) -> None:  # noqa: FBT001 - drawn
        if known := self._some(data)[:1]:
            environment_id = known[0].fence.environment_id
            if environment_id in self._erasing:
                return
            event = self._harness.event(
                known[0].event_id,
                b'{"other":1}' if changed else b"{}",
                environment_id=environment_id,
            )
            self._all(lambda harness: harness.ingest([event]))

    @rule(webhook=ANY)
    def crash_while_publishing(self, webhook: int) -> None:
        to = self._webhook(webhook)
        event = self._harness.event(environment_id=to.environment_id)
        new = self._harness.to(to, event, claimed=True)
        self._all(lambda harness: _torn(harness, event, new))
        self.restart()

    @rule()
    def restart(self) -> None:
        self._storages.reopen()

    @rule(bounds=BOUNDS, full=st.none() | ANY)
    def claim(self, bounds: Mapping[str, Any], full: int | None) -> None:
        webhook_limits = {} if full is None else {self._webhook(full).webhook_id: 0}
        claim = Claim(lease=LEASE, webhook_limits=webhook_limits, **bounds)
        self._claimed += self._all(lambda harness: _acquired(harness, claim)).deliveries

    @rule(data=st.data(), how=VERDICTS, version=st.integers(1, 2), breaker=BREAKERS)
    def finish(
        self,
        data: st.DataObject,
        how: tuple[Succeeded | Retry | Failed, AttemptOutcome],
        version: int,
        breaker: CircuitBreaker,
    ) -> None:
        results = [
            self._harness.result(claimed, how[0], how[1], version) for claimed in self._some(data)
        ]
        self._all(lambda harness: harness.storage.deliveries.finish(results, DELAY, breaker))

    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        fences = [claimed.fence for claimed in self._some(data)]
        self._all(lambda harness: harness.storage.deliveries.release(fences))

    @rule(dead=st.lists(st.sampled_from(WORKERS), unique=True))
    def reap(self, dead: list[UUID]) -> None:
        self._all(lambda harness: _reaped(harness, dead))

    @rule(age=st.integers(0, 60), held=st.integers(0, 60))
    def cancel_unsendable(self, age: int, held: int) -> None:
        bounds = self._ago(age), self._ago(held)

        async def cancel(harness: Harness) -> object:
            ended = await harness.storage.deliveries.cancel_unsendable(1000, *bounds)
            return ended.count, {delivery.delivery_id: delivery for delivery in ended.failed}

        self._all(cancel)

    @rule()
    def resume_all(self) -> None:
        self._all(lambda harness: harness.storage.webhook_health.clear())

    @rule(seconds=st.sampled_from([0.5, 1, 3, 31]))
    def wait(self, seconds: float) -> None:
        self._storages.run(self._clock.advance(seconds))

    @rule(webhook=ANY)
    def delete(self, webhook: int) -> None:
        self._all(lambda harness: _delete(harness, self._webhook(webhook)))

    @rule(webhook=ANY, how=CHANGES)
    def change(self, webhook: int, how: str) -> None:
        all_changes: Mapping[str, Mapping[str, Any]] = {
            "enabled": {"disabled_until": None, "disabled_reason": None},
            "paused": {"disabled_until": self._clock.now() + LEASE, "disabled_reason": None},
            "disabled": {"disabled_until": FOREVER, "disabled_reason": DisabledReason.GONE},
            "moved": {"url": "https://elsewhere.example.com/hook"},
            "ordered": {"ordered": True},
            "unordered": {"ordered": False},
        }
        changes, of = all_changes[how], self._webhook(webhook)
        self._all(lambda harness: _change(harness, of, changes))
        if "ordered" in changes:
            # What is published from now on goes by it.
            place = self._webhooks.index(of)
            self._webhooks[place] = evolve(of, **changes)

    @rule(webhook=ANY, age=st.integers(0, 60))
    def disable_failing(self, webhook: int, age: int) -> None:
        one, since, now = self._webhook(webhook), self._ago(age), self._clock.now()
        key = one.environment_id, one.webhook_id
        self._all(lambda harness: harness.storage.webhooks.disable_failing(*key, since, now))

    @rule(environment_id=st.sampled_from(ENVIRONMENTS), seed=st.binary(min_size=32, max_size=32))
    def rotate_key(self, environment_id: UUID, seed: bytes) -> None:
        if environment_id in self._erasing:
            return
        keys = self._all(lambda harness: harness.storage.signing_keys.keys_of([environment_id]))
        number, now = max((one.number for one in keys), default=0) + 1, self._clock.now()
        key = new_signing_key(environment_id, now, seed, number, now + HOUR)
        if key.key_id in {one.key_id for one in keys}:
            return
        self._all(lambda harness: harness.storage.signing_keys.rotate(key, now + 2 * HOUR))

    @rule(position=st.integers(0, 30))
    def retry_by_hand(self, position: int) -> None:
        if known := sorted(self._rows.deliveries):
            chosen, again = known[position % len(known)], self._storages.ids()
            self._all(lambda harness: _retried(harness, chosen, again))

    @rule(webhook=ANY, age=st.integers(1, 60), states=st.sets(st.sampled_from(REPLAYABLE)))
    def replay(self, webhook: int, age: int, states: set[DeliveryState]) -> None:
        of, now = self._webhook(webhook), self._clock.now()
        selection = Selection(self._ago(age), now, frozenset(states or REPLAYABLE))
        replay = Replay(self._storages.ids(), of.environment_id, of.webhook_id, selection, now)
        self._all(lambda harness: _counted(harness, replay))
        if of.environment_id not in self._erasing and self._all(
            lambda harness: _replaying(harness, replay)
        ):
            self._replays.append(replay)

    @rule(limit=st.integers(1, 5), max_waiting=st.integers(1, 9))
    def carry_replays_on(self, limit: int, max_waiting: int) -> None:
        self._all(lambda harness: _advanced(harness, limit, max_waiting))

    @rule(position=ANY)
    def cancel_replay(self, position: int) -> None:
        if self._replays:
            replay = self._replays[position % len(self._replays)]
            self._all(lambda harness: _cancelled(harness, replay))

    @rule(age=st.sampled_from([0, 5, 60]))
    def forget(self, age: int) -> None:
        before = self._ago(age)
        self._all(lambda harness: _forgotten(harness, before))

    @rule(environment_id=st.sampled_from(ENVIRONMENTS))
    def erase(self, environment_id: UUID) -> None:
        now = self._clock.now()
        self._all(lambda harness: harness.storage.erasures.begin(environment_id, now))
        self._erasing.add(environment_id)
        self.carry_erasures_on()

    @rule()
    def carry_erasures_on(self) -> None:
        for environment_id in sorted(self._erasing):
            if self._all(lambda harness: _erased(harness, environment_id)):  # noqa: B023 - called now
                self._erasing.discard(environment_id)
                self._webhooks = [
                    one for one in self._webhooks if one.environment_id != environment_id
                ]
                self.subscribe(environment_id)

    @invariant()
    def they_keep_the_same(self) -> None:
        """Compare the rows; those of a running erasure may go in any order, and nobody sees them.

        What a customer sees follows from the rows: it is looked at in the end, or each time.
        """
        self._rows = self._all(self._rows_of)
        self._check_log()
        if self._looks_closely:
            self._look()
        # What a step names or makes due, none of the next has the same moment as.
        self._clock.jump(timedelta(milliseconds=1))

    def _check_log(self) -> None:
        """Check that ended attempts are numbered without gaps, but for those that are forgotten."""
        numbers: dict[Handle, list[int]] = {}
        for one in self._rows.log:
            numbers.setdefault(one.delivery, []).append(one.number)
        for handle, stored in self._rows.deliveries.items():
            ended = stored.attempt - (stored.worker is not None)
            logged = sorted(numbers.get(handle, []))
            assert logged == [*range(ended - len(logged) + 1, ended + 1)]

    async def _rows_of(self, harness: Harness) -> Rows:
        rows = await rows_of(harness)
        return evolve(
            rows,
            deliveries={
                handle: one
                for handle, one in rows.deliveries.items()
                if handle[0] not in self._erasing
            },
            log=frozenset(one for one in rows.log if one.delivery[0] not in self._erasing),
        )

    def _look(self) -> None:
        for environment_id in ENVIRONMENTS:
            if environment_id not in self._erasing:
                webhooks = [
                    one.webhook_id for one in self._webhooks if one.environment_id == environment_id
                ]
                self._all(lambda harness: seen_of(harness, environment_id, webhooks))  # noqa: B023 - called now
        self._all(backlog_of)

    @property
    def _harness(self) -> Harness:
        return self._storages.harnesses[0]

    def _all(self, step: Callable[[Harness], Awaitable[T]]) -> T:
        return self._storages.all(step)

    def _webhook(self, position: int) -> Webhook:
        return self._webhooks[position % len(self._webhooks)]

    def _ago(self, seconds: float) -> datetime:
        return self._clock.now() - timedelta(seconds=seconds)

    def _publish(
        self,
        to: Collection[Webhook],
        *,
        claimed: bool = False,
        key: str | None = None,
        **how: Any,
    ) -> None:
        """Store an event with a delivery to each webhook, all of one environment."""
        open_to = [one for one in to if one.environment_id not in self._erasing]
        if not open_to:
            return
        event = self._harness.event(environment_id=open_to[0].environment_id, ordering_key=key)
        new = [self._harness.to(one, event, claimed=claimed, **how) for one in open_to]
        self._all(lambda harness: harness.ingest([event], new, WORKERS[0]))
        if claimed:
            self._claimed += [
                ClaimedDelivery(
                    Fence(one.delivery_id, one.environment_id, 1, WORKERS[0]),
                    webhook_id=one.webhook_id,
                    event_id=one.event_id,
                    event_type=event.event.type,
                    failures=0,
                    body=event.body or b"",
                )
                for one in new
            ]
        self._clock.jump(timedelta(milliseconds=1))

    def _some(self, data: st.DataObject) -> list[ClaimedDelivery]:
        """Draw some of all that was ever claimed, what others took over too."""
        if not self._claimed:
            return []
        return data.draw(st.lists(st.sampled_from(self._claimed), max_size=4, unique_by=_fence_of))


def _fence_of(claimed: ClaimedDelivery) -> Fence:
    return claimed.fence


async def _torn(harness: Harness, event: EventToStore, new: NewDelivery) -> None:
    """Store an event, and crash before the commit."""
    with suppress(_Crash):
        async with harness.storage.deliveries.ingesting() as transaction:
            await transaction.add_events([event])
            await transaction.add_deliveries([new], WORKERS[0], LEASE)
            raise _Crash


class _Crash(Exception):
    """The process ends here."""


async def _acquired(harness: Harness, claim: Claim) -> Claimed:
    """Claim, and forget when to claim again: of what it did not look at a storage knows less."""
    return evolve(await harness.storage.deliveries.acquire(claim), next_due=None)


async def _reaped(harness: Harness, dead: list[UUID]) -> tuple[int, Collection[UUID]]:
    reaped = await harness.storage.deliveries.reap(dead, DELAY)
    return reaped.count, {attempt.delivery_id for attempt in reaped.failed}


async def _released(harness: Harness, limit: int) -> int:
    """Release what is held at the head of any line; return how many were."""
    total, after = 0, FIRST_GROUP
    while True:
        batch = await harness.storage.deliveries.release_groups(after, limit)
        total += batch.released
        if batch.after is None:
            return total
        after = batch.after


async def _delete(harness: Harness, webhook: Webhook) -> int | None:
    key = webhook.environment_id, webhook.webhook_id
    try:
        return await harness.storage.webhooks.delete(*key, harness.clock.now())
    except WebhookNotFound:
        return None


async def _change(harness: Harness, webhook: Webhook, changes: Mapping[str, Any]) -> int | None:
    """Change a webhook, as its owner does or as the system."""
    store = harness.storage.webhooks
    try:
        stored = await store.get(webhook.environment_id, webhook.webhook_id)
    except WebhookNotFound:
        return None
    changed = evolve(stored, version=stored.version + 1, **changes)
    return await store.replace(changed, resets_health=closes_breaker(stored, changed))


async def _retried(harness: Harness, handle: Handle, again: UUID) -> bool:
    """Make one more delivery; tell whether it could be made."""
    try:
        known = await harness.storage.history.delivery(*handle)
        await harness.storage.replays.retry(known, again)
    except (DeliveryNotFound, EventGone):
        return False
    return True


async def _replaying(harness: Harness, replay: Replay) -> bool:
    """Begin a replay; tell whether it could be begun."""
    try:
        await harness.storage.replays.add(replay)
    except ReplayRunning:
        return False
    return True


async def _counted(harness: Harness, replay: Replay) -> ReplayCount:
    key = replay.environment_id, replay.webhook_id
    return await harness.storage.replays.count(*key, replay.selection, 1000)


async def _advanced(harness: Harness, limit: int, max_waiting: int) -> list[ReplayProgress]:
    store = harness.storage.replays
    return [await store.advance(one, limit, max_waiting) for one in await store.running(100)]


async def _cancelled(harness: Harness, replay: Replay) -> bool:
    """Cancel a replay; tell whether it was there."""
    key = replay.environment_id, replay.webhook_id, replay.replay_id
    try:
        await harness.storage.replays.cancel(*key, harness.clock.now())
    except ReplayNotFound:
        return False
    return True


async def _forgotten(harness: Harness, before: datetime) -> tuple[int, int, int]:
    """Let go of all that is from before; return how many attempts, events and tombstones."""
    retention = harness.storage.retention
    attempts = await retention.sweep_attempts(before, FIRST_WEBHOOK, 1000)
    assert attempts.after is None
    swept = await retention.sweep_events(before, None, 1000)
    events = swept.deleted
    while swept.after is not None:
        swept = await retention.sweep_events(before, swept.after, 1000)
        events += swept.deleted
    await retention.delete_minutes_before(before, 1000)
    await retention.delete_statistics_before(before, 1000)
    # A replay that goes leaves its webhook, if that is a tombstone, to the next call.
    tombstones = [await retention.delete_webhooks_before(before, 1000) for _ in range(2)]
    return attempts.deleted, events, sum(tombstones)


async def _erased(harness: Harness, environment_id: UUID) -> bool:
    """Erase as much as can be erased now; tell whether nothing is left."""
    batch = await harness.storage.erasures.advance(environment_id, 1000)
    while batch.erased:
        batch = await harness.storage.erasures.advance(environment_id, 1000)
    return batch.is_last


def test_every_storage_does_as_memory_does(tmp_path: Path, postgres: PostgresServer) -> None:
    # Some seconds are enough to see what is grossly wrong, and shrinking it would take minutes.
    bounds = settings(max_examples=8, stateful_step_count=40, phases=[Phase.generate])
    _drive(tmp_path, postgres, bounds, looks_closely=False)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_customers_see_the_same_after_every_step(tmp_path: Path, postgres: PostgresServer) -> None:
    # Shrinking what it finds would take hours: the steps that it prints are what there is.
    bounds = settings(
        max_examples=25,
        stateful_step_count=50,
        derandomize=False,
        phases=[Phase.generate],
        print_blob=True,
    )
    _drive(tmp_path, postgres, bounds, looks_closely=True)


def _drive(folder: Path, server: PostgresServer, bounds: settings, *, looks_closely: bool) -> None:
    """Drive the state machine: each of its runs has databases of its own."""
    numbers = count()

    def machine() -> DeliveryMachine:
        path = folder / f"{next(numbers)}.sqlite"
        clock = ManualClock()
        storages = SideBySide(clock)
        storages.run(make_sqlite(path))
        database = storages.enter(server.database())
        storages.open(opened_sqlite(path, clock), opened_postgres(server, database, clock))
        return DeliveryMachine(storages, looks_closely=looks_closely)

    # A machine that has other things to do makes it slow, and that is all that it means.
    bounds = settings(bounds, suppress_health_check=[HealthCheck.too_slow])
    run_state_machine_as_test(cast("type[DeliveryMachine]", machine), settings=bounds)
