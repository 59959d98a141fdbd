"""Writing results: in batches, until storage has taken them, and never twice what must not be."""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from datetime import timedelta

import attrs
import pytest

from notification_adapters.memory import ManualClock
from notification_core.dispatch.result_writer import ResultWriter
from notification_core.model.delivery import (
    AttemptOutcome,
    AttemptResult,
    ErrorCode,
    Failed,
    Fence,
    ReceivedResponse,
)
from notification_core.model.webhook import DisabledReason
from notification_core.ports.deliveries import AT_ONCE
from tests.support.faulty_stores import Faults, FaultyDeliveries
from tests.support.observers import RecordingObserver
from tests.support.samples import a_result, a_webhook
from tests.support.waiting import advance_until


class Book(FaultyDeliveries):
    """A store that remembers what it was given to write."""

    def __init__(self, trouble: Faults) -> None:
        self._trouble = trouble
        self.finished: list[Sequence[AttemptResult]] = []
        self.given_back: list[Sequence[Fence]] = []
        self.delays: list[timedelta] = []
        self.refused: Sequence[Fence] = ()

    async def finish(
        self, results: Sequence[AttemptResult], interruption_delay: timedelta
    ) -> Sequence[Fence]:
        del interruption_delay

        async def write() -> Sequence[Fence]:
            self.finished.append(results)
            return self.refused

        return await self._trouble.call("finish", write)

    async def release(self, fences: Collection[Fence], after: timedelta = AT_ONCE) -> None:
        async def write() -> None:
            self.given_back.append(list(fences))
            self.delays.append(after)

        await self._trouble.call("release", write)


@attrs.define
class World:
    """A recorder at work."""

    clock: ManualClock
    trouble: Faults
    book: Book
    notebook: RecordingObserver
    recorder: ResultWriter
    recorded: list[AttemptResult]
    returned: list[Fence]
    left: list[Fence]

    @property
    def written(self) -> list[AttemptResult]:
        return [result for batch in self.book.finished for result in batch]


@pytest.fixture
async def world() -> AsyncIterator[World]:
    clock, trouble, notebook = ManualClock(), Faults(), RecordingObserver()
    book = Book(trouble)
    recorded: list[AttemptResult] = []
    returned: list[Fence] = []
    left: list[Fence] = []
    recorder = ResultWriter(
        store=book,
        clock=clock,
        observer=notebook,
        interruption_delay=timedelta(seconds=1),
        recorded=recorded.extend,
        returned=returned.extend,
        left=left.append,
    )
    running = asyncio.create_task(recorder.run())
    yield World(clock, trouble, book, notebook, recorder, recorded, returned, left)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


WEBHOOK = a_webhook()


async def test_results_are_written_in_order_and_in_batches_sized_by_what_waits(
    world: World,
) -> None:
    results = [a_result(WEBHOOK) for _ in range(1_200)]
    for result in results:
        world.recorder.record(result)
    await world.recorder.drained()
    assert world.written == world.recorded == results
    assert [len(batch) for batch in world.book.finished] == [500, 500, 200]


async def test_what_was_not_sent_is_given_back(world: World) -> None:
    fences = [a_result(WEBHOOK).fence for _ in range(3)]
    world.recorder.release(fences)
    await world.recorder.drained()
    assert world.book.given_back == [fences]
    assert world.returned == fences
    assert world.notebook.given_back == 3


async def test_results_survive_storage_being_away(world: World) -> None:
    world.trouble.away = True
    result = a_result(WEBHOOK)
    world.recorder.record(result)
    await world.clock.advance(10)
    assert not world.recorded
    assert ("record", "StorageUnavailable") in world.notebook.errors
    assert world.trouble.calls["finish"] <= 21
    world.trouble.away = False
    await world.clock.advance(1)
    await world.recorder.drained()
    assert world.written == world.recorded == [result]


async def test_results_whose_commit_is_unknown_are_written_again(world: World) -> None:
    world.trouble.lost["finish"] = True
    result = a_result(WEBHOOK)
    world.recorder.record(result)
    await world.clock.advance(1)
    await world.recorder.drained()
    assert world.written == [result, result]
    assert world.recorded == [result]


async def test_what_is_due_at_different_times_is_given_back_apart(world: World) -> None:
    now, later = [a_result(WEBHOOK).fence for _ in range(2)], a_result(WEBHOOK).fence
    world.recorder.release(now)
    world.recorder.release([later], timedelta(seconds=2))
    await world.recorder.drained()
    assert world.book.given_back == [now, [later]]
    assert world.book.delays == [timedelta(0), timedelta(seconds=2)]
    assert world.returned == [*now, later]


@pytest.mark.parametrize("happened", [True, False])
async def test_a_release_whose_commit_is_unknown_is_let_go_and_not_repeated(
    world: World,
    happened: bool,  # noqa: FBT001 - a case
) -> None:
    """By then the same attempt may have been begun again, and would be taken from its sender."""
    world.trouble.lost["release"] = happened
    fence = a_result(WEBHOOK).fence
    world.recorder.release([fence])
    await world.clock.advance(5)
    await world.recorder.drained()
    assert world.trouble.calls["release"] == 1
    assert world.returned == [fence]


async def test_results_that_cannot_be_written_do_not_keep_the_unsent_from_being_given_back(
    world: World,
) -> None:
    world.trouble.errors["finish"] = ValueError("a value that storage refuses")
    world.recorder.record(a_result(WEBHOOK))
    fence = a_result(WEBHOOK).fence
    world.recorder.release([fence])
    await world.clock.advance(2)
    assert world.returned == [fence]


async def test_what_is_unwritten_is_told_until_it_is_written(world: World) -> None:
    world.trouble.away = True
    for _ in range(3):
        world.recorder.record(a_result(WEBHOOK))
    assert world.recorder.unwritten == 3
    world.trouble.away = False
    await advance_until(lambda: not world.recorder.unwritten, world.clock)


async def test_what_comes_while_a_batch_is_written_is_written_too(world: World) -> None:
    gate = world.trouble.gates["finish"] = asyncio.Event()
    first, second = a_result(WEBHOOK), a_result(WEBHOOK)
    world.recorder.record(first)
    await advance_until(lambda: world.trouble.calls["finish"] == 1, world.clock)
    world.recorder.record(second)
    gate.set()
    await world.recorder.drained()
    assert world.written == [first, second]


async def test_the_observer_hears_what_attempts_came_to(world: World) -> None:
    gone = a_result(WEBHOOK, verdict=Failed(disables=DisabledReason.GONE), error=ErrorCode.GONE)
    world.book.refused = [gone.fence]
    world.recorder.record(a_result(WEBHOOK))
    world.recorder.record(gone)
    await world.recorder.drained()
    assert world.notebook.outcomes == [
        (AttemptOutcome.SUCCEEDED, None),
        (AttemptOutcome.FAILED, ErrorCode.GONE),
    ]
    assert world.notebook.failed == [gone.fence.delivery_id]
    assert world.notebook.disabled == [(WEBHOOK.webhook_id, DisabledReason.GONE)]
    assert world.notebook.fenced == 1


async def test_one_result_that_storage_refuses_for_good_does_not_hold_up_the_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = [a_result(WEBHOOK) for _ in range(5)]
    culprit, finish = results[2], world.book.finish

    async def refuse(batch: Sequence[AttemptResult], delay: timedelta) -> Sequence[Fence]:
        if culprit in batch:
            raise ValueError("a byte that no row can hold")
        return await finish(batch, delay)

    monkeypatch.setattr(world.book, "finish", refuse)
    for result in results:
        world.recorder.record(result)
    await advance_until(lambda: not world.recorder.unwritten, world.clock, within=2)
    assert world.recorded == [result for result in results if result is not culprit]
    assert world.left == [culprit.fence]
    assert ("record", "ValueError") in world.notebook.errors


async def test_a_result_that_storage_refuses_is_written_without_what_its_receiver_sent(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = a_result(WEBHOOK)
    response = ReceivedResponse(200, (("x-status", "a check mark"),), b"a body")
    odd = attrs.evolve(plain, attempt=attrs.evolve(plain.attempt, response=response))
    finish = world.book.finish

    async def refuse(batch: Sequence[AttemptResult], delay: timedelta) -> Sequence[Fence]:
        if any(one.attempt.response and one.attempt.response.headers for one in batch):
            raise ValueError("a text that no row can hold")
        return await finish(batch, delay)

    monkeypatch.setattr(world.book, "finish", refuse)
    results = [a_result(WEBHOOK), odd, a_result(WEBHOOK)]
    for result in results:
        world.recorder.record(result)
    await advance_until(lambda: not world.recorder.unwritten, world.clock, within=3)
    bare = ReceivedResponse(200, (), b"", truncated=True)
    assert world.recorded == [
        results[0],
        attrs.evolve(odd, attempt=attrs.evolve(odd.attempt, response=bare)),
        results[2],
    ]
    assert not world.left
