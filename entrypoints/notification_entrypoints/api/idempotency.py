"""POSTs that name themselves by ``Idempotency-Key``: done once, answered alike each time.

A handler whose effect must not be had twice hands it to :meth:`Idempotency.respond_once`::

    return await self.idempotency.respond_once(
        call, lambda records: self.ingest.publish(events, records), self._render
    )

The use case takes ``records`` and makes what is to be kept before it commits; its store writes that
in the same transaction (:class:`IdempotencyStore` says how); an effect that no transaction can hold
is kept as begun before it begins. The response that is kept is what
``render`` makes, or ``render_stored`` where that shows a secret. Where the effect is a change,
``audited_subject`` says of what, and an entry of the audit log is kept beside the response.
"""

import hashlib
import re
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar
from uuid import UUID

import msgspec
from aiohttp import web
from attrs import frozen

from notification_core.errors import Detail, ResponseAlreadyStored
from notification_core.model.request_records import (
    KEPT_FOR,
    RecordsOf,
    RequestRecords,
    StoredResponse,
)
from notification_core.ports.clock import Clock
from notification_core.ports.idempotency import IdempotencyStore
from notification_entrypoints.api.audit_trail import AuditTrail
from notification_entrypoints.api.endpoint import ApiCall
from notification_entrypoints.api.problems import Problem, RequestRefused

HEADER = "Idempotency-Key"
REPLAYED = "Idempotent-Replayed"

_KEY = re.compile(r"[ -~]{1,255}")

_Outcome = TypeVar("_Outcome")


@frozen
class _Response:
    """A response as it is kept."""

    status: int
    headers: dict[str, str]
    body: bytes


_RESPONSE = msgspec.msgpack.Decoder(_Response)


class Idempotency:
    """Answers a request that comes again as it was answered first, for 24 hours."""

    def __init__(self, store: IdempotencyStore, clock: Clock, audit_trail: AuditTrail) -> None:
        self._store = store
        self._clock = clock
        self._audit_trail = audit_trail
        self._running: set[tuple[UUID | None, str]] = set()

    async def respond_once(
        self,
        call: ApiCall,
        effect: Callable[[RecordsOf[_Outcome | None] | None], Awaitable[_Outcome]],
        render: Callable[[_Outcome], web.Response],
        audited_subject: Callable[[_Outcome], object] | None = None,
        render_stored: Callable[[_Outcome], web.Response] | None = None,
    ) -> web.Response:
        """Have an effect in the call's environment, if any, and render it, or answer as before.

        What ``render_stored`` makes is kept in place of a response that shows a secret.
        Raises :class:`RequestRefused` for a key that is none, for one whose first request is
        still being answered, and for one that another request was sent with. A first request that
        another process is answering is found in storage: of the two one has the effect, and the
        other one is answered as it was, or told that it is being answered.
        """
        keys = call.head.headers.getall(HEADER, ())
        if not keys and audited_subject is None:
            # Nothing is kept: what publishes is here, and pays for none of the functions below.
            return render(await effect(None))

        def audited(outcome: _Outcome | None) -> RequestRecords:
            if audited_subject is None or outcome is None:
                return []
            return [self._audit_trail.entry_for(call, audited_subject(outcome))]

        if not keys:
            return render(await effect(audited))
        environment_id = call.environment
        request = _name(call, keys)
        query = call.head.url.query_string.encode()
        fingerprint = hashlib.sha256(query + b"\0" + call.body).hexdigest()

        def records(outcome: _Outcome | None) -> RequestRecords:
            now = self._clock.now()
            encoded = b"" if outcome is None else _encoded((render_stored or render)(outcome))
            stored_response = StoredResponse(environment_id, request, fingerprint, encoded, now)
            return [stored_response, *audited(outcome)]

        with self._alone(environment_id, request):
            stored_response = await self._find(environment_id, request)
            if stored_response is None:
                try:
                    return render(await effect(records))
                except ResponseAlreadyStored:
                    # Another process was a moment faster.
                    stored_response = await self._find(environment_id, request)
        return _again(stored_response, fingerprint)

    @contextmanager
    def _alone(self, environment_id: UUID | None, request: str) -> Iterator[None]:
        """Refuse a request while the same one is being answered in this process."""
        running = environment_id, request
        if running in self._running:
            raise RequestRefused(Problem.STILL_RESPONDING)
        self._running.add(running)
        try:
            yield
        finally:
            self._running.discard(running)

    async def _find(self, environment_id: UUID | None, request: str) -> StoredResponse | None:
        return await self._store.find(environment_id, request, self._clock.now() - KEPT_FOR)


def _name(call: ApiCall, keys: Sequence[str]) -> str:
    """Return what names a request: its caller, its route and its key, but not readably."""
    if len(keys) > 1 or not _KEY.fullmatch(keys[0]):
        message = "Give one key of 1 to 255 visible ASCII characters, such as a UUID."
        raise RequestRefused(Problem.INVALID_PARAMETERS, details=[Detail(HEADER, message)])
    parts = call.caller.name, call.head.method, call.head.url.path, keys[0]
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()


def _encoded(response: web.Response) -> bytes:
    body = response.body if isinstance(response.body, bytes) else b""
    return msgspec.msgpack.encode(_Response(response.status, dict(response.headers), body))


def _again(stored_response: StoredResponse | None, fingerprint: str) -> web.Response:
    if stored_response is None:
        # What a process that was faster had answered was forgotten since: 24 hours ended just now.
        raise RequestRefused(Problem.STILL_RESPONDING)
    if stored_response.fingerprint != fingerprint:
        raise RequestRefused(Problem.KEY_REUSED)
    if not stored_response.response:
        raise RequestRefused(Problem.STILL_RESPONDING)
    response = _RESPONSE.decode(stored_response.response)
    headers = response.headers | {REPLAYED: "true"}
    return web.Response(body=response.body, status=response.status, headers=headers)
