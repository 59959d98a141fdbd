"""What is asked of each example: live deliveries, a duplicate, a rotation, and forged requests."""

import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from secrets import token_urlsafe

import aiohttp
from aiohttp import web
from attrs import define, field
from signing_vectors import RETIRING, SECRET, TRUSTED, Case, cases

from notification_core.model.signing_key import SigningKey, public_forms
from tests.faults.stage import Api, JsonObject
from tests.receivers.examples import Example
from tests.support.ports import free_ports
from tests.support.receivers import ReceivedRequest, Receiver
from tests.support.waiting import until

KEY_ID = "X-3dverse-Signature-Key-Id"
_NOT_FORWARDED = {"host", "content-length", "accept-encoding", "connection"}
_PATIENT = {"max_retries": 20, "interval": "1s"}
_READ_EVERY = 10  # seconds: no example reads the keys more often
_FLOOD = 20


@define
class KeyServer:
    """Serves each environment's key set with the keys of the vectors in it, and counts."""

    api: Api
    port: int = 0
    reads: Counter[str] = field(factory=Counter)
    keys: dict[str, tuple[SigningKey, ...]] = field(factory=dict)

    async def respond(self, request: web.Request) -> web.Response:
        """Respond with the keys that the API publishes, and those that are added."""
        environment = request.match_info["environment"]
        self.reads[environment] += 1
        url = f"{self.api.base}/environments/{environment}/jwks.json"
        async with self.api.session.get(url) as response:
            published = await response.json()
        added = [public_forms(key.public_key).jwk for key in self.keys[environment]]
        return web.json_response({"keys": [*published["keys"], *added]})

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Listen on loopback for the length of the block."""
        app = web.Application()
        app.router.add_get("/{environment}/jwks.json", self.respond)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.port = runner.addresses[0][1]
        try:
            yield
        finally:
            await runner.cleanup()


@define
class Trial:
    """One example on trial, with an environment of its own; ``problems`` is what was found."""

    example: Example
    api: Api
    key_server: KeyServer
    port: int = field(factory=lambda: free_ports(1)[0])
    webhook_id: str = ""
    requests: int = 0
    problems: list[str] = field(factory=list)

    async def run(self) -> None:
        """Deliver to it, and send it what is forged."""
        self.key_server.keys[self.api.environment] = TRUSTED
        await self.api.key()
        async with Receiver(self._forward) as relay:
            self.webhook_id = await self.api.subscribe(relay.url, retry=_PATIENT)
            path = f"webhooks/{self.webhook_id}/signing-secrets"
            made = await self.api.call("POST", path, {})
            url = f"http://127.0.0.1:{self.key_server.port}/{self.api.environment}/jwks.json"
            variables = {"KEYS_URL": url, "SIGNING_SECRETS": f"{made['secret']} {SECRET}"}
            async with self.example.serving(self.port, variables):
                began = time.monotonic()
                await self._deliver(relay)
                await self._send_vectors()
                await self._name_unknown_keys()
                # Live deliveries must not be verified by the secret, but by the new key.
                await self._revoke(f"{path}/{made['secret_id']}")
                await self._rotate(relay)
                self._check_reads(time.monotonic() - began)

    async def _deliver(self, relay: Receiver) -> None:
        """Deliver an event twice, and send it changed, and with one signature at a time."""
        delivery = await self._delivered("first", "processed")
        await self.api.call("POST", f"deliveries/{delivery}/retry", {})
        await self._delivered("first", "duplicate")
        request = relay.requests[-1]
        for name, headers in _each_signature(_headers(request)):
            await self._expect(f"live, {name}", headers, request.body, "duplicate")
            await self._expect(f"live, {name}, tampered", headers, request.body + b" ", None)

    async def _send_vectors(self) -> None:
        processed = False
        for case in cases(int(time.time())):
            expected = ("duplicate" if processed else "processed") if case.is_valid else None
            await self._send(case, expected)
            processed = True

    async def _name_unknown_keys(self) -> None:
        (case, *_) = cases(int(time.time()))
        for _ in range(_FLOOD):
            headers = {**case.headers, KEY_ID: token_urlsafe()}
            await self._expect("an unknown key id", headers, b"{}", None)

    async def _revoke(self, path: str) -> None:
        async with self.api.session.delete(f"{self.api.base}/{path}") as response:
            response.raise_for_status()

    async def _rotate(self, relay: Receiver) -> None:
        """Rotate the environment's key at once, and end a key: both must come to be known.

        The key before the new one still signs a ``v1a`` for a minute. The other scheme is by the
        new key alone, so that it is valid once the keys were read again.
        """
        before = relay.requests[-1].headers[KEY_ID]
        self.key_server.keys[self.api.environment] = TRUSTED[:1]
        path = f"environments/{self.api.environment}/settings/verification-keys"
        await self.api.call("POST", path, {"emergency": True})
        await self._delivered("second", "processed")
        request = relay.requests[-1]
        if request.headers[KEY_ID] == before:
            self.problems.append("the second event was signed by the first key")
        headers = dict(_each_signature(_headers(request)))["X-3dverse-Signature"]

        async def is_known() -> bool:
            return await self._post(headers, request.body) == (HTTPStatus.OK, "duplicate")

        await until(f"{self.example.name} knows the new key", is_known)
        for case in cases(int(time.time())):
            if case.headers.get(KEY_ID) == RETIRING.key_id:
                without = {**case.headers, "webhook-signature": ""}
                await self._expect("by a key that has ended", without, case.body.encode(), None)

    def _check_reads(self, seconds: float) -> None:
        reads, most = self.key_server.reads[self.api.environment], 2 + seconds / _READ_EVERY
        if self.example.caches and reads > most:
            self.problems.append(f"the keys were read {reads} times within {seconds:.0f} s")

    async def _delivered(self, event_id: str, expected: str) -> str:
        """Publish an event, unless it was; return its delivery once it got this response."""
        found: list[JsonObject] = []

        async def is_logged() -> bool:
            logs = await self.api.call_for_list(f"webhooks/{self.webhook_id}/logs")
            found[:] = [
                log for log in logs if log["event_id"] == event_id and _body_of(log) == expected
            ]
            return bool(found)

        await self.api.publish(event_id)
        await until(f"{self.example.name} says {expected}", is_logged)
        return str(found[0]["delivery_id"])

    async def _forward(self, received: ReceivedRequest) -> web.Response:
        status, text = await self._post(_headers(received), received.body)
        return web.Response(status=status, text=text)

    async def _send(self, case: Case, expected: str | None) -> None:
        await self._expect(case.name, case.headers, case.body.encode(), expected)

    async def _expect(
        self, name: str, headers: Mapping[str, str], body: bytes, expected: str | None
    ) -> None:
        """Send a request; note where the response is not this text, or for None not a 401."""
        status, text = await self._post(headers, body)
        wanted = (HTTPStatus.UNAUTHORIZED, text) if expected is None else (HTTPStatus.OK, expected)
        if (status, text) != wanted:
            what = "a refusal" if expected is None else expected
            self.problems.append(f"{name}: expected {what}, got {status} {text[:200]}")

    async def _post(self, headers: Mapping[str, str], body: bytes) -> tuple[int, str]:
        self.requests += 1
        url = f"http://127.0.0.1:{self.port}/webhooks"
        given = {"Content-Type": "application/json", **headers}
        try:
            async with self.api.session.post(url, data=body, headers=given) as response:
                return response.status, (await response.text()).strip()
        except aiohttp.ClientError as error:
            return 0, repr(error)


def _headers(request: ReceivedRequest) -> Mapping[str, str]:
    named = request.headers.items()
    return {name: value for name, value in named if name.lower() not in _NOT_FORWARDED}


def _body_of(log: JsonObject) -> object:
    response = log.get("response")
    return response.get("body", "").strip() if isinstance(response, dict) else None


def _each_signature(headers: Mapping[str, str]) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Yield the headers with all signatures, and with each of them alone."""
    own = {"X-3dverse-Signature", "X-3dverse-Signature-Timestamp"}
    yield "all signatures", headers
    yield "X-3dverse-Signature", {n: v for n, v in headers.items() if "webhook" not in n.lower()}
    for entry in headers["webhook-signature"].split(" "):
        others = {name: value for name, value in headers.items() if name not in own}
        yield entry.split(",")[0], {**others, "webhook-signature": entry}
