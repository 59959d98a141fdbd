"""Transactions: several requests in one, and one again that was lost for the sake of another.

A group is whatever waits when the one before it is done: nobody waits for a group to fill, and the
busier it is, the larger groups become.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from contextvars import copy_context
from functools import wraps
from random import uniform
from typing import Any, Final, Generic, ParamSpec, TypeVar

from notification_core.errors import TransactionLost

Request = TypeVar("Request")
Response = TypeVar("Response")
P = ParamSpec("P")
T = TypeVar("T")

_ATTEMPTS: Final = 5
_MOST_SECONDS: Final = 0.1


class GroupCommit(Generic[Request, Response]):
    """Answers requests in groups, in their order.

    ``work`` answers the first ones of a group, at least one, each by a value or an error; the
    others are repeated in the next group. Where it raises an error of ``shared``, that is
    everybody's answer; any other may be the fault of one request, and each is made alone then.
    A group has requests of at most ``most`` by their sizes together, or a single one;
    ``parallel`` groups are worked on at the same time.
    """

    def __init__(
        self,
        work: Callable[[Sequence[Request]], Awaitable[Sequence[Response | Exception]]],
        *,
        most: int,
        shared: type[Exception],
        parallel: int = 1,
    ) -> None:
        self._work = work
        self._most = most
        self._shared = shared
        self._parallel = parallel
        self._context = copy_context()
        self._waiting: deque[tuple[Request, int, asyncio.Future[Response]]] = deque()
        self._working: set[asyncio.Task[None]] = set()

    def submit(self, request: Request, size: int) -> asyncio.Future[Response]:
        """Return what the response will be set on; the work is done even if that is cancelled."""
        response: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self._waiting.append((request, size, response))
        # Who has done its work stays here until its callback runs, but looks for no more: who asks
        # in between would wait until the next one asks.
        if sum(not task.done() for task in self._working) < self._parallel:
            # Not in the context of the one who asks first: it works for others too.
            task = asyncio.create_task(self._work_on(), context=self._context.copy())
            self._working.add(task)
            task.add_done_callback(self._working.discard)
        return response

    async def drain(self) -> None:
        """Return once nothing is being worked on, and nothing waits."""
        while self._working:
            await asyncio.wait(self._working)

    async def _work_on(self) -> None:
        while self._waiting:
            group = [self._waiting.popleft()]
            size = group[0][1]
            while self._waiting and (size := size + self._waiting[0][1]) <= self._most:
                group.append(self._waiting.popleft())
            responses: Sequence[Response | Exception]
            try:
                responses = await self._work([request for request, _, _ in group])
            except self._shared as error:
                responses = [error] * len(group)
            except Exception as error:  # noqa: BLE001 - it is answered, whatever it was
                if len(group) > 1:
                    # Each is the next group by itself: nothing has room beside one of this size.
                    alone = [(request, self._most + 1, future) for request, _, future in group]
                    self._waiting.extendleft(reversed(alone))
                    continue
                responses = [error]
            for (_, _, future), response in zip(group, responses, strict=False):
                if future.cancelled():
                    continue  # asyncio would report an error that nobody has retrieved
                if isinstance(response, Exception):
                    future.set_exception(response)
                else:
                    future.set_result(response)
            self._waiting.extendleft(reversed(group[len(responses) :]))


def retry_lost_transaction(
    transaction: Callable[P, Coroutine[Any, Any, T]],
) -> Callable[P, Coroutine[Any, Any, T]]:
    """Have a method that is one transaction repeated if it is lost, at most 4 times.

    Before each further attempt it waits up to 0.1 s, at random, so that the same transactions do
    not meet again. The last :class:`TransactionLost` is raised.
    """

    @wraps(transaction)
    async def run(*arguments: P.args, **named: P.kwargs) -> T:
        for _ in range(_ATTEMPTS - 1):
            with suppress(TransactionLost):
                return await transaction(*arguments, **named)
            await asyncio.sleep(uniform(0, _MOST_SECONDS))  # noqa: S311 - a pause, no secret
        return await transaction(*arguments, **named)

    return run
