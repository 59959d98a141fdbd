"""A sender without a network: its answers are written in scripts, one for each URL."""

import asyncio
from collections import defaultdict, deque
from collections.abc import Sequence
from datetime import timedelta
from enum import Enum

from notification_core.errors import ResourceShort
from notification_core.model.delivery import AttemptError, ErrorCode, ReceivedResponse
from notification_core.ports.sender import HttpRequest, HttpSender, SendingFailed


class Hang(Enum):
    """An answer that does not come before :meth:`ScriptedSender.release`."""

    HANG = "hang"


Answer = int | ErrorCode | ReceivedResponse | SendingFailed | ResourceShort | Hang
"""A status; why sending fails, with or without words for it; a whole response; none yet.

With :class:`ResourceShort` no request is sent.
"""


class ScriptedSender(HttpSender):
    """Gives the scripted answers, 200 where there is no script, and remembers the requests.

    The last answer of a script is given for ever.
    """

    def __init__(self) -> None:
        self.requests: list[HttpRequest] = []
        self.in_flight = 0
        self.closed = False
        self._scripts: dict[str, deque[Answer]] = {}
        self._hanging: defaultdict[str, set[asyncio.Future[Answer]]] = defaultdict(set)
        self._changed = asyncio.Event()

    def answer(self, url: str, *script: Answer) -> None:
        """Answer what is sent to ``url`` by this script from now on."""
        self._scripts[url] = deque(script)

    def release(self, url: str, answer: Answer = 200) -> None:
        """Give this answer to the requests to ``url`` that hang."""
        for hanging in self._hanging.pop(url, ()):
            if not hanging.done():
                hanging.set_result(answer)

    def requests_to(self, url: str) -> Sequence[HttpRequest]:
        """Return what was sent to ``url``, in its order."""
        return [request for request in self.requests if request.url == url]

    async def wait_for(self, count: int) -> Sequence[HttpRequest]:
        """Return all requests once there are ``count``."""
        while len(self.requests) < count:
            self._changed.clear()
            await self._changed.wait()
        return self.requests

    async def send(self, request: HttpRequest, timeout: timedelta) -> ReceivedResponse:  # noqa: ASYNC109 - the port's
        """Answer by the script; see the port."""
        script = self._scripts.get(request.url) or deque([200])
        answer = script.popleft() if len(script) > 1 else script[0]
        if isinstance(answer, ResourceShort):
            raise answer
        self.requests.append(request)
        self._changed.set()
        self.in_flight += 1
        try:
            async with asyncio.timeout(timeout.total_seconds()):
                return await self._answered(request.url, answer)
        except TimeoutError as error:
            raise _failed(ErrorCode.TIMEOUT) from error
        finally:
            self.in_flight -= 1

    async def close(self) -> None:
        """Note that it was closed."""
        self.closed = True

    async def _answered(self, url: str, answer: Answer) -> ReceivedResponse:
        match answer:
            case Hang():
                released: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
                self._hanging[url].add(released)
                return await self._answered(url, await released)
            case ErrorCode():
                raise _failed(answer)
            case SendingFailed() | ResourceShort():
                raise answer
            case int():
                return ReceivedResponse(answer, (), b"")
            case ReceivedResponse():
                return answer


def _failed(code: ErrorCode) -> SendingFailed:
    return SendingFailed(AttemptError(code, f"The script says {code}."))
