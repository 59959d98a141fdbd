"""``listen``: a receiver on this machine that verifies what it is sent, shows it and answers."""

import asyncio
import hashlib
import re
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from http import HTTPStatus
from uuid import UUID

import click
import msgspec
from aiohttp import web
from attrs import define, frozen
from rich.console import Console
from rich.markup import escape

from notification_adapters.clock import SystemClock
from notification_entrypoints.cli.client import Api, ApiClient, api_option
from notification_entrypoints.cli.options import ID, examples
from notification_entrypoints.cli.tables import printable
from notification_entrypoints.cli.terminal import output, print_json
from notification_entrypoints.cli.verification import VerificationResult, Verifier
from notification_entrypoints.cli.webhooks import event_types
from notification_entrypoints.commands.exit_codes import ApiRefused, ApiUnavailable, CommandFailed

HOST = "127.0.0.1"

_MAX_BODY_BYTES = 2 * 1024 * 1024
_STATUS = re.compile(r"[2-5][0-9]{2}")


@frozen
class Received:
    """One request that arrived: what it said, what it was found to be, what it was answered."""

    result: VerificationResult
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
        result = await self.verifier.verify(request.headers, body)
        self.tell(
            Received(
                result,
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
            sentence = f"Port {port} cannot be listened on ({error.strerror}); give a free --port."
            raise CommandFailed(sentence) from error
        yield f"http://{HOST}:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


class _Webhook(msgspec.Struct):
    webhook_id: UUID


def _scripted(_context: click.Context, _parameter: click.Parameter, text: str) -> list[int]:
    parts = [part.strip() for part in text.split(",")]
    if not all(_STATUS.fullmatch(part) for part in parts):
        raise click.BadParameter("Give statuses from 200 to 599, like 500,500,204.")
    return [int(part) for part in parts]


@click.command(
    "listen",
    epilog=examples(
        "listen --environment ID",
        "listen --port 8080 --answer 500,500,204",
    ),
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=3617,
    show_default=True,
    help="The port; 0 takes a free one.",
)
@click.option("--environment", type=ID, help="Send all events of it here for as long as this runs.")
@click.option(
    "--answer",
    "answers",
    default="204",
    show_default=True,
    callback=_scripted,
    metavar="STATUS,…",
    help="Answer the first requests like this; the last one repeats.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object a line, for programs.")
@api_option
def command(
    port: int, environment: UUID | None, answers: list[int], api: Api, *, as_json: bool
) -> None:
    """Receive webhooks on 127.0.0.1, verify each request and print it.

    The keys are the published ones of the event's environment. Ctrl-C ends it.
    """
    with suppress(KeyboardInterrupt):
        asyncio.run(_listen(api, port, environment, answers, as_json=as_json))


async def _listen(
    api: Api, port: int, environment: UUID | None, answers: list[int], *, as_json: bool
) -> None:
    tell = _tell_programs if as_json else partial(_tell_people, output())
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        with suppress(NotImplementedError):  # Windows: Ctrl-C is a KeyboardInterrupt there.
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(ApiClient(api))
        receiver = Receiver(Verifier(client, SystemClock(), environment), answers, tell)
        url = await stack.enter_async_context(receiving(receiver, port))
        webhook = None
        if environment is not None:
            webhook = await stack.enter_async_context(_subscribed(client, environment, url))
        if as_json:
            print_json({"listening": url, "webhook_id": webhook})
        else:
            subscribed = f"; webhook {webhook} sends here until this ends" if webhook else ""
            output().print(f"Listening on {url}{subscribed} (Ctrl-C).", markup=False)
        await stop.wait()


@asynccontextmanager
async def _subscribed(client: ApiClient, environment: UUID, url: str) -> AsyncIterator[UUID]:
    """Have a webhook to all event types while the context is open."""
    draft = {"name": f"listen on {HOST}", "url": url, "events": await event_types(client)}
    answer = await client.request(
        "POST", f"/environments/{environment}/webhooks", msgspec.json.encode(draft)
    )
    webhook_id = msgspec.json.decode(answer, type=_Webhook).webhook_id
    try:
        yield webhook_id
    finally:
        try:
            await client.request("DELETE", f"/webhooks/{webhook_id}")
        except (ApiRefused, ApiUnavailable) as error:
            # One that is not found was deleted by somebody else.
            if not (isinstance(error, ApiRefused) and error.status == HTTPStatus.NOT_FOUND):
                raise CommandFailed(f"Webhook {webhook_id} is still there. {error}") from error


def _tell_people(console: Console, received: Received) -> None:
    result = received.result
    envelope = result.envelope
    what = f"{envelope.type} attempt {received.attempt}" if envelope else "a request"
    event = envelope.id if envelope else ""
    if result.problem is None:
        console.print(f"[green]✓[/] {_plain(what)}  {_plain(event)}, answered {received.answer}")
    else:
        console.print(f"[red]✗[/] {_plain(what)}: {_plain(result.problem)}")


def _tell_programs(received: Received) -> None:
    envelope = received.result.envelope
    print_json(
        {
            "verified": received.result.problem is None,
            "problem": received.result.problem,
            "event": envelope.type if envelope else None,
            "event_id": envelope.id if envelope else None,
            "webhook-id": received.message_id,
            "webhook-delivery": received.delivery,
            "webhook-attempt": received.attempt,
            "sha256": received.sha256,
            "answer": received.answer,
        }
    )


def _plain(text: str) -> str:
    return escape(printable(text))
