"""Writing results: in batches, until storage has taken them, and never twice what must not be."""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from datetime import timedelta

import attrs
import pytest

from notification_core.dispatch.result_writer import ResultWriter
from notification_core.model.circuit_breaker import NO_BREAKER, CircuitBreaker
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
from tests.support.assembly import MemoryApp
from tests.support.faulty_stores import Faults, FaultyDeliveries
from tests.support.observers import RecordedResults
from tests.support.samples import a_result, a_webhook


class Book(FaultyDeliveries):
    """A store that remembers what it was given to write."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self.finished: list[Sequence[AttemptResult]] = []
        self.given_back: list[Sequence[Fence]] = []
        self.delays: list[timedelta] = []
        self.refused: Sequence[Fence] = ()
        self.waiting: Sequence[Fence] = ()

    async def finish(
        self,
        results: Sequence[AttemptResult],
        interruption_delay: timedelta,
        breaker: CircuitBreaker = NO_BREAKER,
    ) -> Sequence[Fence]:
        del interruption_delay

        async def write() -> Sequence[Fence]:
            self.finished.append(results)
            for fence in self.waiting:
                breaker.on_wait(fence.delivery_id)
            return self.refused

        return await self._faults.call("finish", write)

    async def release(self, fences: Collection[Fence], after: timedelta = AT_ONCE) -> None:
        async def write() -> None:
            self.given_back.append(list(fences))
            self.delays.append(after)

        await self._faults.call("release", write)


@attrs.define
class Writing:
    """A writer at work, what it writes to and whom it tells."""

    app: MemoryApp
    book: Book = attrs.field(init=False)
    results: RecordedResults = attrs.field(factory=RecordedResults)
    writer: ResultWriter = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.book = Book(self.app.faults)
        self.writer = self.app.result_writer(self.results, self.book)

    @property
    def batches(self) -> list[AttemptResult]:
        return [result for batch in self.book.finished for result in batch]

    async def until_all_is_written(self, within: float = 0) -> None:
        await self.app.until(lambda: not self.writer.unwritten, within)


@pytest.fixture
async def writing() -> AsyncIterator[Writing]:
    writing = Writing(MemoryApp())
    running = asyncio.create_task(writing.writer.run())
    yield writing
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


WEBHOOK = a_webhook()


async def test_results_are_written_in_order_and_in_batches_sized_by_what_waits(
    writing: Writing,
) -> None:
    results = [a_result(WEBHOOK) for _ in range(1_200)]
    for result in results:
        writing.writer.record(result)
    await writing.writer.drain()
    assert writing.batches == writing.results.written == results
    assert [len(batch) for batch in writing.book.finished] == [500, 500, 200]


async def test_what_was_not_sent_is_given_back(writing: Writing) -> None:
    fences = [a_result(WEBHOOK).fence for _ in range(3)]
    writing.writer.release(fences)
    await writing.writer.drain()
    assert writing.book.given_back == [fences]
    assert writing.results.released == fences
    assert writing.app.observer.released == 3


async def test_results_survive_unavailable_storage(writing: Writing) -> None:
    writing.app.faults.unreachable = True
    result = a_result(WEBHOOK)
    writing.writer.record(result)
    await writing.app.clock.advance(10)
    assert not writing.results.written
    assert ("record", "StorageUnavailable") in writing.app.observer.errors
    assert writing.app.faults.calls["finish"] <= 21
    writing.app.faults.unreachable = False
    await writing.app.clock.advance(1)
    await writing.writer.drain()
    assert writing.batches == writing.results.written == [result]


async def test_results_whose_commit_is_unknown_are_written_again(writing: Writing) -> None:
    writing.app.faults.lost["finish"] = True
    result = a_result(WEBHOOK)
    writing.writer.record(result)
    await writing.app.clock.advance(1)
    await writing.writer.drain()
    assert writing.batches == [result, result]
    assert writing.results.written == [result]


async def test_what_is_due_at_different_times_is_given_back_apart(writing: Writing) -> None:
    now, later = [a_result(WEBHOOK).fence for _ in range(2)], a_result(WEBHOOK).fence
    writing.writer.release(now)
    writing.writer.release([later], timedelta(seconds=2))
    await writing.writer.drain()
    assert writing.book.given_back == [now, [later]]
    assert writing.book.delays == [timedelta(0), timedelta(seconds=2)]
    assert writing.results.released == [*now, later]


@pytest.mark.parametrize("happened", [True, False])
async def test_a_release_whose_commit_is_unknown_is_let_go_and_not_repeated(
    writing: Writing,
    happened: bool,  # noqa: FBT001 - a case
) -> None:
    """By then the same attempt may have been started again, and would be taken from its sender."""
    writing.app.faults.lost["release"] = happened
    fence = a_result(WEBHOOK).fence
    writing.writer.release([fence])
    await writing.app.clock.advance(5)
    await writing.writer.drain()
    assert writing.app.faults.calls["release"] == 1
    assert writing.results.released == [fence]


async def test_a_release_that_is_committed_is_not_repeated_whatever_fails_then(
    writing: Writing, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(count: int) -> None:
        raise ZeroDivisionError(count)

    monkeypatch.setattr(writing.app.observer, "leases_released", fail)
    fence = a_result(WEBHOOK).fence
    writing.writer.release([fence])
    await writing.app.clock.advance(5)
    assert writing.book.given_back == [[fence]]
    assert writing.results.released == [fence]


async def test_results_that_cannot_be_written_do_not_keep_the_unsent_from_being_given_back(
    writing: Writing,
) -> None:
    writing.app.faults.errors["finish"] = ValueError("a value that storage refuses")
    writing.writer.record(a_result(WEBHOOK))
    fence = a_result(WEBHOOK).fence
    writing.writer.release([fence])
    await writing.app.clock.advance(2)
    assert writing.results.released == [fence]


async def test_what_is_unwritten_is_told_until_it_is_written(writing: Writing) -> None:
    writing.app.faults.unreachable = True
    for _ in range(3):
        writing.writer.record(a_result(WEBHOOK))
    assert len(writing.writer.unwritten) == 3
    writing.app.faults.unreachable = False
    await writing.until_all_is_written()


async def test_what_comes_while_a_batch_is_written_is_written_too(writing: Writing) -> None:
    gate = writing.app.faults.gates["finish"] = asyncio.Event()
    first, second = a_result(WEBHOOK), a_result(WEBHOOK)
    writing.writer.record(first)
    await writing.app.until(lambda: writing.app.faults.calls["finish"] == 1)
    writing.writer.record(second)
    gate.set()
    await writing.writer.drain()
    assert writing.batches == [first, second]


async def test_the_observer_hears_what_attempts_came_to(writing: Writing) -> None:
    gone = a_result(WEBHOOK, next_step=Failed(disables=DisabledReason.GONE), error=ErrorCode.GONE)
    writing.book.refused = [gone.fence]
    writing.writer.record(a_result(WEBHOOK))
    writing.writer.record(gone)
    await writing.writer.drain()
    assert writing.app.observer.outcomes == [
        (AttemptOutcome.SUCCEEDED, None),
        (AttemptOutcome.FAILED, ErrorCode.GONE),
    ]
    assert writing.app.observer.failed == [gone.fence.delivery_id]
    assert writing.app.observer.disabled == [(WEBHOOK.webhook_id, DisabledReason.GONE)]
    assert writing.app.observer.fenced == 1


async def test_one_that_waits_for_its_paused_webhook_is_not_said_to_have_failed(
    writing: Writing,
) -> None:
    used_up = a_result(WEBHOOK, next_step=Failed(), error=ErrorCode.CONNECT)
    writing.book.waiting = [used_up.fence]
    writing.writer.record(used_up)
    await writing.writer.drain()
    assert writing.app.observer.failed == []
    writing.book.waiting = []
    writing.writer.record(used_up)
    await writing.writer.drain()
    assert writing.app.observer.failed == [used_up.fence.delivery_id]


async def test_one_result_that_storage_refuses_permanently_does_not_hold_up_the_others(
    writing: Writing, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = [a_result(WEBHOOK) for _ in range(5)]
    culprit, finish = results[2], writing.book.finish

    async def refuse(
        batch: Sequence[AttemptResult], delay: timedelta, breaker: CircuitBreaker
    ) -> Sequence[Fence]:
        if culprit in batch:
            raise ValueError("a byte that no row can hold")
        return await finish(batch, delay, breaker)

    monkeypatch.setattr(writing.book, "finish", refuse)
    for result in results:
        writing.writer.record(result)
    await writing.until_all_is_written(within=2)
    assert writing.results.written == [result for result in results if result is not culprit]
    assert writing.results.abandoned == [culprit.fence]
    assert ("record", "ValueError") in writing.app.observer.errors


async def test_a_result_that_storage_refuses_is_written_without_what_its_receiver_sent(
    writing: Writing, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = a_result(WEBHOOK)
    response = ReceivedResponse(200, (("x-status", "a check mark"),), b"a body")
    odd = attrs.evolve(plain, attempt=attrs.evolve(plain.attempt, response=response))
    finish = writing.book.finish

    async def refuse(
        batch: Sequence[AttemptResult], delay: timedelta, breaker: CircuitBreaker
    ) -> Sequence[Fence]:
        if any(one.attempt.response and one.attempt.response.headers for one in batch):
            raise ValueError("a text that no row can hold")
        return await finish(batch, delay, breaker)

    monkeypatch.setattr(writing.book, "finish", refuse)
    results = [a_result(WEBHOOK), odd, a_result(WEBHOOK)]
    for result in results:
        writing.writer.record(result)
    await writing.until_all_is_written(within=3)
    bare = ReceivedResponse(200, (), b"", truncated=True)
    assert writing.results.written == [
        results[0],
        attrs.evolve(odd, attempt=attrs.evolve(odd.attempt, response=bare)),
        results[2],
    ]
    assert not writing.results.abandoned
