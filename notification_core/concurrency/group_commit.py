"""Doing in one go what many ask for at the same time, such as a transaction for several requests.

A group is whatever waits when the one before it is done: nobody waits for a group to fill, and the
busier it is, the larger groups become.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Question = TypeVar("Question")
Answer = TypeVar("Answer")


class GroupCommit(Generic[Question, Answer]):
    """Answers questions in groups, in their order.

    ``work`` answers the first ones of a group, at least one, each by a value or an error; the
    others are asked again in the next group. Where it raises an error of ``shared``, that is
    everybody's answer; any other may be the fault of one question, and each is asked alone then.
    A group has questions of at most ``most`` by ``size`` together, or a single one;
    ``side_by_side`` groups are worked on at the same time.
    """

    def __init__(
        self,
        work: Callable[[Sequence[Question]], Awaitable[Sequence[Answer | Exception]]],
        *,
        size: Callable[[Question], int],
        most: int,
        shared: type[Exception],
        side_by_side: int = 1,
    ) -> None:
        self._work = work
        self._size = size
        self._most = most
        self._shared = shared
        self._side_by_side = side_by_side
        self._waiting: deque[tuple[Question, asyncio.Future[Answer]]] = deque()
        self._working: set[asyncio.Task[None]] = set()

    async def ask(self, question: Question) -> Answer:
        """Return the answer, or raise it; the work is done even if the caller is cancelled."""
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        answer.add_done_callback(_look_at)
        self._waiting.append((question, answer))
        # Who has done its work stays here until its callback runs, but looks for no more: who asks
        # in between would wait until the next one asks.
        if sum(not task.done() for task in self._working) < self._side_by_side:
            task = asyncio.create_task(self._work_on())
            self._working.add(task)
            task.add_done_callback(self._working.discard)
        return await asyncio.shield(answer)

    async def settled(self) -> None:
        """Return once nothing is being worked on, and nothing waits."""
        while self._working:
            await asyncio.wait(self._working)

    async def _work_on(self) -> None:
        while self._waiting:
            await self._answer(self._next())

    def _next(self) -> list[tuple[Question, asyncio.Future[Answer]]]:
        """Take the next group: at least one question."""
        group = [self._waiting.popleft()]
        size = self._size(group[0][0])
        while self._waiting:
            size += self._size(self._waiting[0][0])
            if size > self._most:
                break
            group.append(self._waiting.popleft())
        return group

    async def _answer(self, group: Sequence[tuple[Question, asyncio.Future[Answer]]]) -> None:
        answers: Sequence[Answer | Exception]
        try:
            answers = await self._work([question for question, _ in group])
        except self._shared as error:
            answers = [error] * len(group)
        except Exception as error:  # noqa: BLE001 - it is answered, whatever it was
            if len(group) > 1:
                for one in group:
                    await self._answer([one])
                return
            answers = [error]
        for (_, future), answer in zip(group, answers, strict=False):
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)
        self._waiting.extendleft(reversed(group[len(answers) :]))


def _look_at(answer: "asyncio.Future[Answer]") -> None:
    """Look at an error that nobody waits for any more, or asyncio complains of it."""
    if not answer.cancelled():
        answer.exception()
