"""A receiver of webhooks: verifies each request, says so, and answers by a script."""

import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from aiohttp import web
from attrs import define, frozen

from notification_entrypoints.cli.verification import Verdict, Verifier
from notification_entrypoints.commands.exit_codes import CommandFailed

HOST = "127.0.0.1"

_MAX_BODY_BYTES = 2 * 1024 * 1024


@frozen
class Received:
    """One request that arrived: what it said, what it was found to be, what it was answered."""

    verdict: Verdict
    message_id: str
    delivery: str
    attempt: str
    sha256: str
    answer: int


@define
class Receiver:
    """Answers the first requests by the first of ``answers`` and so on; the last one repeats."""

    verifier: Verifier
    answers: Sequence[int]
    tell: Callable[[Received], None]
    requests: int = 0

    async def receive(self, request: web.Request) -> web.Response:
        """Take one request; it is told before it is answered."""
        answer = self.answers[min(self.requests, len(self.answers) - 1)]
        self.requests += 1
        body = await request.read()
        verdict = await self.verifier.judge(request.headers, body)
        self.tell(
            Received(
                verdict,
                request.headers.get("webhook-id", ""),
                request.headers.get("webhook-delivery", ""),
                request.headers.get("webhook-attempt", ""),
                hashlib.sha256(body).hexdigest(),
                answer,
            )
        )
        return web.Response(status=answer)


@asynccontextmanager
async def receiving(receiver: Receiver, port: int) -> AsyncIterator[str]:
    """Receive on loopback while the context is open; yields the URL. Port 0 takes a free one."""
    app = web.Application(client_max_size=_MAX_BODY_BYTES)
    app.router.add_route("*", "/{path:.*}", receiver.receive)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, HOST, port)
        try:
            await site.start()
        except OSError as error:
            said = f"Port {port} cannot be listened on ({error.strerror}); give a free --port."
            raise CommandFailed(said) from error
        yield f"http://{HOST}:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()
