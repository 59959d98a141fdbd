"""A sender without a network: its responses are written in scripts, one for each URL."""

import asyncio
from collections import defaultdict, deque
from collections.abc import Sequence
from datetime import timedelta
from enum import Enum

from notification_core.errors import ResourceShort
from notification_core.model.delivery import AttemptError, ErrorCode, ReceivedResponse
from notification_core.ports.sender import HttpRequest, HttpSender, SendingFailed


class Hang(Enum):
    """A response that does not come before :meth:`ScriptedSender.release`."""

    HANG = "hang"


ScriptedResponse = int | ErrorCode | ReceivedResponse | SendingFailed | ResourceShort | Hang
"""A status; why sending fails, with or without words for it; a whole response; none yet.

With :class:`ResourceShort` no request is sent.
"""


class ScriptedSender(HttpSender):
    """Gives the scripted responses, 200 if there is no script, and remembers the requests.

    The last response of a script is given for ever.
    """

    def __init__(self) -> None:
        self.requests: list[HttpRequest] = []
        self.in_flight = 0
        self.closed = False
        self._scripts: dict[str, deque[ScriptedResponse]] = {}
        self._hanging: defaultdict[str, set[asyncio.Future[ScriptedResponse]]] = defaultdict(set)
        self._changed = asyncio.Event()

    def respond(self, url: str, *script: ScriptedResponse) -> None:
        """Answer what is sent to ``url`` by this script from now on."""
        self._scripts[url] = deque(script)

    def release(self, url: str, response: ScriptedResponse = 200) -> None:
        """Give this response to the requests to ``url`` that hang."""
        for hanging in self._hanging.pop(url, ()):
            if not hanging.done():
                hanging.set_result(response)

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
        response = script.popleft() if len(script) > 1 else script[0]
        if isinstance(response, ResourceShort):
            raise response
        self.requests.append(request)
        self._changed.set()
        self.in_flight += 1
        try:
            async with asyncio.timeout(timeout.total_seconds()):
                return await self._respond(request.url, response)
        except TimeoutError as error:
            raise _failed(ErrorCode.TIMEOUT) from error
        finally:
            self.in_flight -= 1

    async def close(self) -> None:
        """Note that it was closed."""
        self.closed = True

    async def _respond(self, url: str, response: ScriptedResponse) -> ReceivedResponse:
        match response:
            case Hang():
                released: asyncio.Future[ScriptedResponse] = (
                    asyncio.get_running_loop().create_future()
                )
                self._hanging[url].add(released)
                return await self._respond(url, await released)
            case ErrorCode():
                raise _failed(response)
            case SendingFailed() | ResourceShort():
                raise response
            case int():
                return ReceivedResponse(response, (), b"")
            case ReceivedResponse():
                return response


def _failed(code: ErrorCode) -> SendingFailed:
    return SendingFailed(AttemptError(code, f"The script says {code}."))
