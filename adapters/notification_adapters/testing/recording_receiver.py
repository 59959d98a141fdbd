"""A receiver that verifies and records, for tests of what publishes events."""

import json
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import web
from attrs import field, frozen

from notification_adapters.clock import SystemClock
from notification_adapters.testing.service import LocalService
from notification_core.errors import InvalidSignature
from notification_core.signing.verification import verify_request

_MAX_BYTES = 2 * 1024**2


@frozen
class RecordedRequest:
    """A request that came; ``rejected`` is why it was not genuine, None if it was."""

    headers: Mapping[str, str] = field(repr=False)
    body: bytes
    rejected: str | None

    @property
    def event(self) -> Any:
        """The parsed body."""
        return json.loads(self.body)


class RecordingReceiver:
    """Listens on loopback for as long as a service runs, verifies by its keys, and records.

    What is not genuine gets 401 and is recorded all the same. ``url`` is where to send to.
    """

    def __init__(self, service: LocalService) -> None:
        self.requests: list[RecordedRequest] = []
        self._service = service
        self._trusted: list[str] = []
        self._script: Sequence[int] = (200,)
        self._changed = threading.Condition()
        app = web.Application(client_max_size=_MAX_BYTES)
        app.router.add_route("*", "/{path:.*}", self._receive)
        self.url = f"{service.background.serve(app)}/webhooks"

    @property
    def events(self) -> Sequence[Any]:
        """The bodies of the genuine requests, in their order."""
        return [each.event for each in self.requests if each.rejected is None]

    def trust(self, *keys: str) -> None:
        """Verify by these too, in any form that :func:`verify_request` takes: another service's."""
        self._trusted.extend(keys)

    def respond_with(self, *statuses: int) -> None:
        """Respond to genuine requests with these statuses, one after another, the last for ever."""
        self._script = statuses or (200,)

    def wait_for(self, count: int, seconds: float = 10.0) -> Sequence[RecordedRequest]:
        """Return all requests once there are ``count``, or raise ``TimeoutError``."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.requests) >= count, seconds):
                raise TimeoutError(
                    f"{len(self.requests)} of {count} requests came: {self.requests}"
                )
            return list(self.requests)

    async def _receive(self, request: web.Request) -> web.Response:
        body = await request.read()
        keys, rejected = [*await self._service.trusted(), *self._trusted], None
        try:
            verify_request(body, request.headers, keys, now=SystemClock().now())
        except InvalidSignature as error:
            rejected = str(error)
        with self._changed:
            self.requests.append(RecordedRequest(dict(request.headers), body, rejected))
            self._changed.notify_all()
        if rejected is not None:
            return web.Response(status=401, text=rejected)
        status, *later = self._script
        self._script = later or (status,)
        return web.Response(status=status)
