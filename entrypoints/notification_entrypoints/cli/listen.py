"""``listen``: a receiver on this host that verifies each request, prints it and responds.

It responds by a script, or with what a local service responds to which it forwards the request.
"""

import asyncio
import hashlib
import re
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from uuid import UUID

import aiohttp
import click
import msgspec
from aiohttp import web
from attrs import define, frozen
from multidict import CIMultiDict, CIMultiDictProxy
from rich.text import Text

from notification_adapters.clock import SystemClock
from notification_entrypoints.cli.attempts import pretty
from notification_entrypoints.cli.client import Api, ApiClient, api_option, checked_url
from notification_entrypoints.cli.completion import complete_environment_id
from notification_entrypoints.cli.options import ID, WholeNumber, examples
from notification_entrypoints.cli.tables import printable
from notification_entrypoints.cli.terminal import output, print_json, style, utc_option
from notification_entrypoints.cli.verification import VerificationResult, Verifier
from notification_entrypoints.cli.webhooks import event_types
from notification_entrypoints.commands.exit_codes import ApiRefused, ApiUnavailable, CommandFailed

HOST = "127.0.0.1"

_NOT_ALLOWED = (
    f"The server sends no requests to {HOST} (SSRF protection). Start it with "
    "WEBHOOKS_ALLOWED_NETWORKS=127.0.0.0/8,::1/128, and without WEBHOOKS_REQUIRE_HTTPS."
)
_MAX_BODY_BYTES = 2 * 1024 * 1024
_STATUS = re.compile(r"[2-5][0-9]{2}")
_FORWARD_TIMEOUT = aiohttp.ClientTimeout(total=30, connect=5)
_INDENT = "    "
# What each request has, and what only this hop is about: shown with --raw only.
_USUAL = frozenset({"accept", "accept-encoding", "connection", "content-length", "host"})
_USUAL_PART = re.compile(r"user-agent|signature", re.IGNORECASE)
_HOP_BY_HOP = frozenset(
    {"connection", "content-length", "date", "host", "keep-alive", "server", "te", "trailer"}
    | {"transfer-encoding", "upgrade"}
)


@frozen
class Received:
    """One request that arrived, what it was found to be, and the status of the response."""

    method: str
    path: str
    headers: CIMultiDictProxy[str]
    body: bytes
    result: VerificationResult
    http_code: int
    problem: str = ""

    @property
    def is_good(self) -> bool:
        """Whether the request is genuine and the response accepts it."""
        return self.result.problem is None and self.http_code < HTTPStatus.MULTIPLE_CHOICES


@define
class Receiver:
    """Responds to the first requests by the first of ``answers`` and so on; the last one repeats.

    With ``forward_to`` the response is what a service at this URL responds, or 502 without one.
    """

    verifier: Verifier
    answers: Sequence[int]
    tell: Callable[[Received], None]
    forward_to: str | None = None
    session: aiohttp.ClientSession | None = None
    requests: int = 0

    async def receive(self, request: web.Request) -> web.Response:
        """Take one request; it is printed before the response is sent."""
        response = web.Response(status=self.answers[min(self.requests, len(self.answers) - 1)])
        self.requests += 1
        body = await request.read()
        result = await self.verifier.verify(request.headers, body)
        problem = ""
        if self.forward_to and self.session:
            response, problem = await _forward(self.session, self.forward_to, request, body)
        self.tell(
            Received(
                request.method,
                request.path_qs,
                request.headers,
                body,
                result,
                response.status,
                problem,
            )
        )
        return response


async def _forward(
    session: aiohttp.ClientSession, url: str, request: web.Request, body: bytes
) -> tuple[web.Response, str]:
    """Return what a service responds to a request, and why there is no response, if so."""
    headers = _end_to_end(request.headers)
    try:
        async with session.request(
            request.method, url, data=body, headers=headers, allow_redirects=False
        ) as response:
            content = await response.read()
            passed_on = _end_to_end(response.headers)
            return web.Response(status=response.status, body=content, headers=passed_on), ""
    except (aiohttp.ClientError, TimeoutError) as error:
        reason = "timeout" if isinstance(error, TimeoutError) else str(error)
        return web.Response(status=HTTPStatus.BAD_GATEWAY), f"{url} does not respond: {reason}"


def _end_to_end(headers: CIMultiDictProxy[str]) -> CIMultiDict[str]:
    fields = ((name, value) for name, value in headers.items() if name.lower() not in _HOP_BY_HOP)
    return CIMultiDict(fields)


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
            raise CommandFailed(
                f"Port {port} cannot be listened on: another program has it, or it needs more "
                "rights. Give a free one with --port (0 takes any)."
            ) from error
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
        "listen --environment ID --forward-to http://localhost:3000/webhooks",
        "listen --port 8080 --answer 500,500,204 --raw",
    ),
)
@click.option(
    "--port",
    type=WholeNumber(0, 65535),
    default=3617,
    show_default=True,
    help="The port; 0 takes a free one.",
)
@click.option(
    "--environment",
    type=ID,
    shell_complete=complete_environment_id,
    help="Subscribe to all of its events while this runs.",
)
@click.option(
    "--forward-to",
    metavar="URL",
    callback=lambda _, __, url: url and checked_url(url, "http://localhost:3000/webhooks"),
    help="Forward each request to a local service, and respond as it does.",
)
@click.option(
    "--answer",
    "answers",
    default="204",
    show_default=True,
    callback=_scripted,
    metavar="STATUS,…",
    help="The status codes of the first responses; the last one repeats.",
)
@click.option("--raw", is_flag=True, help="Print all headers, and the body as it is.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per request.")
@utc_option
@api_option
@click.pass_context
def command(  # noqa: PLR0913 - one parameter an option
    context: click.Context,
    *,
    port: int,
    environment: UUID | None,
    forward_to: str | None,
    answers: list[int],
    raw: bool,
    api: Api,
    as_json: bool,
) -> None:
    """Receive webhooks on 127.0.0.1, verify each request, print it and respond.

    The keys are the published ones of the event's environment. ✓ is a request whose signatures are
    valid and whose response is 2xx. What --json prints can be given to `verify`. Ctrl-C ends it.
    """
    source = context.get_parameter_source("answers")
    if forward_to and source is not click.core.ParameterSource.DEFAULT:
        raise click.UsageError("Give either --forward-to or --answer.")
    options = _Options(port, environment, forward_to, answers, raw, as_json)
    with suppress(KeyboardInterrupt):
        asyncio.run(_listen(api, options))


@frozen
class _Options:
    """The options of the command."""

    port: int
    environment: UUID | None
    forward_to: str | None
    answers: Sequence[int]
    raw: bool
    as_json: bool


async def _listen(api: Api, options: _Options) -> None:
    tell = _tell_programs if options.as_json else partial(_tell_people, raw=options.raw)
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        with suppress(NotImplementedError):  # Windows: Ctrl-C is a KeyboardInterrupt there.
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(ApiClient(api))
        # Not decompressed: what a service responds goes on as it is.
        session = aiohttp.ClientSession(timeout=_FORWARD_TIMEOUT, auto_decompress=False)
        await stack.enter_async_context(session)
        verifier = Verifier(client, SystemClock(), options.environment)
        receiver = Receiver(verifier, options.answers, tell, options.forward_to, session)
        url = await stack.enter_async_context(receiving(receiver, options.port))
        webhook = None
        if options.environment is not None:
            subscription = _subscribed(client, options.environment, url)
            webhook = await stack.enter_async_context(subscription)
        if options.as_json:
            print_json({"listening": url, "webhook_id": webhook})
        else:
            forwards = f", forwarding to {options.forward_to}" if options.forward_to else ""
            subscribed = f"; webhook {webhook} sends here until this ends" if webhook else ""
            output().print(f"Listening on {url}{forwards}{subscribed} (Ctrl-C).", markup=False)
        await stop.wait()


@asynccontextmanager
async def _subscribed(client: ApiClient, environment: UUID, url: str) -> AsyncIterator[UUID]:
    """Have a webhook to all event types while the context is open."""
    draft = {"name": f"listen on {HOST}", "url": url, "events": await event_types(client)}
    path = f"/environments/{environment}/webhooks"
    try:
        answer = await client.request("POST", path, msgspec.json.encode(draft))
    except ApiRefused as error:
        if any(detail.field == "url" for detail in error.details):
            raise CommandFailed(_NOT_ALLOWED) from error
        raise
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


def _tell_people(received: Received, *, raw: bool) -> None:
    console, result = output(), received.result
    colour = "green" if received.is_good else "red"
    line = Text.assemble(("✓" if received.is_good else "✗", colour), " ")
    line.append(style().short_time(datetime.now(UTC).isoformat()), style="dim")
    if envelope := result.envelope:
        attempt = received.headers.get("webhook-attempt", "")
        line.append(printable(f"  {envelope.type}  {envelope.id}  attempt {attempt}"), style="bold")
    line.append(f"  → {received.http_code}", style=colour)
    console.print(line)
    for problem in (result.problem, received.problem):
        if problem:
            console.print(Text(f"  {printable(problem)}", style="red"))
    console.print(Text(printable(f"  {received.method} {received.path}")))
    for name, value in received.headers.items():
        if raw or not (name.lower() in _USUAL or _USUAL_PART.search(name)):
            console.print(Text(printable(f"{_INDENT}{name}: {value}")))
    body = received.body.decode(errors="replace")
    lines = [printable(each) for each in body.splitlines()] if raw else pretty(body)
    console.print("\n".join(["", *(_INDENT * (not raw) + each for each in lines)]), markup=False)
    console.print()


def _tell_programs(received: Received) -> None:
    envelope, headers = received.result.envelope, received.headers
    try:
        body = {"body": received.body.decode()}
    except UnicodeDecodeError:
        body = {"body_base64": msgspec.to_builtins(received.body)}
    print_json(
        {
            "verified": received.result.problem is None,
            "problem": received.result.problem or received.problem or None,
            "event": envelope.type if envelope else None,
            "event_id": envelope.id if envelope else None,
            "webhook-id": headers.get("webhook-id", ""),
            "webhook-delivery": headers.get("webhook-delivery", ""),
            "webhook-attempt": headers.get("webhook-attempt", ""),
            "sha256": hashlib.sha256(received.body).hexdigest(),
            "http_code": received.http_code,
            "method": received.method,
            "headers": [[str(name), value] for name, value in headers.items()],
            **body,
        }
    )
