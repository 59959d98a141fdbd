"""Doing in one go what many ask for at the same time, such as a transaction for several requests.

A group is whatever waits when the one before it is done: nobody waits for a group to fill, and the
busier it is, the larger groups become.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Request = TypeVar("Request")
Response = TypeVar("Response")


class GroupCommit(Generic[Request, Response]):
    """Answers questions in groups, in their order.

    ``work`` answers the first ones of a group, at least one, each by a value or an error; the
    others are asked again in the next group. Where it raises an error of ``shared``, that is
    everybody's answer; any other may be the fault of one question, and each is asked alone then.
    A group has questions of at most ``most`` by ``size`` together, or a single one;
    ``parallel`` groups are worked on at the same time.
    """

    def __init__(
        self,
        work: Callable[[Sequence[Request]], Awaitable[Sequence[Response | Exception]]],
        *,
        size: Callable[[Request], int],
        most: int,
        shared: type[Exception],
        parallel: int = 1,
    ) -> None:
        self._work = work
        self._size = size
        self._most = most
        self._shared = shared
        self._parallel = parallel
        self._waiting: deque[tuple[Request, asyncio.Future[Response]]] = deque()
        self._working: set[asyncio.Task[None]] = set()

    async def submit(self, request: Request) -> Response:
        """Return the answer, or raise it; the work is done even if the caller is cancelled."""
        response: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self._waiting.append((request, response))
        # Who has done its work stays here until its callback runs, but looks for no more: who asks
        # in between would wait until the next one asks.
        if sum(not task.done() for task in self._working) < self._parallel:
            task = asyncio.create_task(self._work_on())
            self._working.add(task)
            task.add_done_callback(self._working.discard)
        # An error that comes when nobody waits for it any more is looked at by shield.
        return await asyncio.shield(response)

    async def drain(self) -> None:
        """Return once nothing is being worked on, and nothing waits."""
        while self._working:
            await asyncio.wait(self._working)

    async def _work_on(self) -> None:
        while self._waiting:
            group = [self._waiting.popleft()]
            size = self._size(group[0][0])
            while self._waiting:
                size += self._size(self._waiting[0][0])
                if size > self._most:
                    break
                group.append(self._waiting.popleft())
            await self._answer(group)

    async def _answer(self, group: Sequence[tuple[Request, asyncio.Future[Response]]]) -> None:
        responses: Sequence[Response | Exception]
        try:
            responses = await self._work([request for request, _ in group])
        except self._shared as error:
            responses = [error] * len(group)
        except Exception as error:  # noqa: BLE001 - it is answered, whatever it was
            if len(group) > 1:
                for pair in group:
                    await self._answer([pair])
                return
            responses = [error]
        for (_, future), response in zip(group, responses, strict=False):
            if isinstance(response, Exception):
                future.set_exception(response)
            else:
                future.set_result(response)
        self._waiting.extendleft(reversed(group[len(responses) :]))
