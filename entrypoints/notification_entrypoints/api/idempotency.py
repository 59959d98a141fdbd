"""POSTs that name themselves by ``Idempotency-Key``: done once, answered alike each time.

A handler whose effect must not be had twice hands it to :meth:`Idempotency.once`::

    return await self.idempotency.once(
        call, environment_id, lambda keep: self.ingest.publish(events, keep), self._shown
    )

The use case takes ``keep`` and makes what is to be kept before it commits; its store writes that
in the same transaction (:class:`IdempotencyStore` says how); an effect that no transaction can hold
is kept as begun before it begins. The answer that is kept is what
``shown`` makes: one that shows a secret must not be kept as it is. Where the effect is a change,
``subject`` says of what, and an entry of the audit log is kept beside the answer.
"""

import hashlib
import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar
from uuid import UUID

import msgspec
from aiohttp import web
from attrs import frozen

from notification_core.errors import AlreadyAnswered, Detail
from notification_core.model.idempotency import KEPT_FOR, KeptAnswer
from notification_core.model.request_records import RecordsOf, RequestRecords
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
class _Answer:
    """An answer as it is kept."""

    status: int
    headers: dict[str, str]
    body: bytes


_ANSWER = msgspec.msgpack.Decoder(_Answer)


class Idempotency:
    """Answers a request that comes again as it was answered first, for 24 hours."""

    def __init__(self, store: IdempotencyStore, clock: Clock, auditing: AuditTrail) -> None:
        self._store = store
        self._clock = clock
        self._auditing = auditing
        self._running: set[tuple[UUID, str]] = set()

    async def once(
        self,
        call: ApiCall,
        environment_id: UUID,
        effect: Callable[[RecordsOf[_Outcome | None] | None], Awaitable[_Outcome]],
        shown: Callable[[_Outcome], web.Response],
        subject: Callable[[_Outcome], object] | None = None,
    ) -> web.Response:
        """Have an effect in an environment and show it, or show again what it came to before.

        Raises :class:`RequestRefused` for a key that is none, for one whose first request is
        still being answered, and for one that another request was sent with. A first request that
        another process is answering is found in storage: of the two one has the effect, and the
        other one is answered as it was, or told that it is being answered.
        """

        def audited(outcome: _Outcome | None) -> RequestRecords:
            if subject is None or outcome is None:
                return []
            return [self._auditing.entry(call, subject(outcome))]

        key = _key_of(call.request)
        if key is None:
            return shown(await effect(audited if subject else None))
        request, fingerprint = _name(call, key), _fingerprint(call)

        def keep(outcome: _Outcome | None) -> RequestRecords:
            shown_answer = b"" if outcome is None else _encoded(shown(outcome))
            now = self._clock.now()
            answer = KeptAnswer(environment_id, request, fingerprint, shown_answer, now)
            return [answer, *audited(outcome)]

        with self._alone(environment_id, request):
            kept = await self._kept(environment_id, request)
            if kept is None:
                try:
                    return shown(await effect(keep))
                except AlreadyAnswered:
                    # Another process was a moment faster.
                    kept = await self._kept(environment_id, request)
        return _again(kept, fingerprint)

    @contextmanager
    def _alone(self, environment_id: UUID, request: str) -> Iterator[None]:
        """Refuse a request while the same one is being answered in this process."""
        running = environment_id, request
        if running in self._running:
            raise RequestRefused(Problem.STILL_ANSWERING)
        self._running.add(running)
        try:
            yield
        finally:
            self._running.discard(running)

    async def _kept(self, environment_id: UUID, request: str) -> KeptAnswer | None:
        return await self._store.find(environment_id, request, self._clock.now() - KEPT_FOR)


def _key_of(request: web.Request) -> str | None:
    """Return the key that a request has, None where it has none."""
    keys = request.headers.getall(HEADER, ())
    if not keys:
        return None
    if len(keys) > 1 or not _KEY.fullmatch(keys[0]):
        message = "Give one key of 1 to 255 visible ASCII characters, such as a UUID."
        raise RequestRefused(Problem.INVALID_PARAMETERS, details=[Detail(HEADER, message)])
    return keys[0]


def _name(call: ApiCall, key: str) -> str:
    """Return what names a request: its caller, its route and its key, but not readably."""
    parts = call.caller.name, call.request.method, call.request.path, key
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()


def _fingerprint(call: ApiCall) -> str:
    asked = call.request.query_string.encode() + b"\0" + call.body
    return hashlib.sha256(asked).hexdigest()


def _encoded(response: web.Response) -> bytes:
    body = response.body if isinstance(response.body, bytes) else b""
    return msgspec.msgpack.encode(_Answer(response.status, dict(response.headers), body))


def _again(kept: KeptAnswer | None, fingerprint: str) -> web.Response:
    if kept is None:
        # What a process that was faster had answered was forgotten since: 24 hours ended just now.
        raise RequestRefused(Problem.STILL_ANSWERING)
    if kept.fingerprint != fingerprint:
        raise RequestRefused(Problem.KEY_REUSED)
    if not kept.answer:
        raise RequestRefused(Problem.STILL_ANSWERING)
    answer = _ANSWER.decode(kept.answer)
    headers = answer.headers | {REPLAYED: "true"}
    return web.Response(body=answer.body, status=answer.status, headers=headers)
