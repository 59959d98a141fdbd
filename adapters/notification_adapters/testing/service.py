"""A service in memory, of one environment: it signs events, delivers them and publishes its keys.

Requests are made by the product's own use cases, so that a receiver gets the headers and bytes
that it will get later. Only storage, queue and retries are left out: a delivery is one attempt,
made at once.
"""

import json
import os
from collections.abc import Sequence
from datetime import datetime, timedelta
from ipaddress import ip_network
from typing import Any, Self

from aiohttp import web

from notification_adapters.clock import SystemClock
from notification_adapters.event_formats.catalogue import default_catalogue
from notification_adapters.http.aiohttp.sender import AiohttpSender
from notification_adapters.memory import ScriptedSender, memory_storage
from notification_adapters.null_objects import EveryEnvironment, NoTracer
from notification_adapters.testing.background_loop import BackgroundLoop
from notification_core.concurrency.ids import IdGenerator
from notification_core.dispatch.attempt import AttemptMaker, DeliveryRules
from notification_core.environments.directory import Environments
from notification_core.errors import InvalidInput
from notification_core.model.delivery import ClaimedDelivery, Fence, ReceivedResponse
from notification_core.model.destinations import DestinationPolicy
from notification_core.model.event import Event, body_of
from notification_core.model.event_types import EventCatalogue
from notification_core.model.retry_policy import RetryPolicy
from notification_core.model.signing_key import public_forms, signing_at
from notification_core.model.signing_secret import SigningSecret
from notification_core.model.webhook import Webhook
from notification_core.ports.sender import HttpRequest
from notification_core.signing.key_cache import SigningKeyCache
from notification_core.signing.rotation import SigningKeyService
from notification_core.signing.signatures import (
    CryptographySigner,
    SignatureCache,
    SignatureHeaders,
)
from notification_core.signing.verification import SIGNATURE_HEADER, TIMESTAMP_HEADER

_TIMEOUT = timedelta(seconds=10)
_LOOPBACK = DestinationPolicy(
    allowed_networks=(ip_network("127.0.0.0/8"), ip_network("::1/128")),
    allowed_hosts=("localhost",),
)


class _Clock(SystemClock):
    """The host's clock, but that requests can be signed at another time."""

    def __init__(self) -> None:
        self.signing_at: datetime | None = None

    def now(self) -> datetime:
        """Return the host's time of day, or the other time."""
        return self.signing_at or super().now()


def _random() -> bytes:
    return os.urandom(32)


class LocalService:
    """Signs and delivers events of one environment to receivers on loopback.

    ``keys_url`` is its key set (a JSON Web Key Set) and ``secret`` a signing secret (``whsec_…``)
    that every request is signed with, too. Methods block: in a test with asyncio whose receiver
    runs in the same event loop, call them by ``asyncio.to_thread``.
    """

    def __init__(
        self,
        catalogue: EventCatalogue | None = None,
        *,
        signature_header: str = SIGNATURE_HEADER,
        timestamp_header: str = TIMESTAMP_HEADER,
    ) -> None:
        self._catalogue = catalogue or default_catalogue()
        self._clock = _Clock()
        self._ids = IdGenerator(self._clock)
        self.environment_id = self._ids()
        self._secret = SigningSecret(self._ids(), _random(), self._clock.now())
        self.secret: str = self._secret.text
        self.keys_url = ""
        storage = memory_storage(self._clock, self._ids)
        self._key_cache = SigningKeyCache(storage.signing_keys, self._clock, _random)
        environments = Environments(EveryEnvironment(), storage.erasures, self._clock)
        self._signing_keys = SigningKeyService(
            storage.signing_keys, self._key_cache, environments, self._clock, _random
        )
        self._captured = ScriptedSender()
        self._attempts = AttemptMaker(
            self._captured,
            SignatureCache(
                SignatureHeaders(signature_header, timestamp_header), CryptographySigner()
            ),
            self._clock,
            self._ids,
            DeliveryRules(_TIMEOUT, RetryPolicy(max_retries=0, interval=_TIMEOUT)),
            float,
            NoTracer(),
        )
        self.background = BackgroundLoop()

    def __enter__(self) -> Self:
        self.background.__enter__()
        app = web.Application()
        path = f"/api/environments/{self.environment_id}/jwks.json"
        app.router.add_get(path, self._jwks)
        self.keys_url = self.background.serve(app) + path
        self._sender = self.background.run(_sender())
        return self

    def __exit__(self, *error: object) -> None:
        self.background.run(self._sender.close())
        self.background.__exit__(*error)

    @property
    def keys(self) -> Sequence[str]:
        """What its requests verify with: the public keys to trust now as ``whpk_…``, the secret."""
        return self.background.run(self.trusted())

    async def trusted(self) -> Sequence[str]:
        """Return the same, in the loop of the service."""
        published = await self._signing_keys.published(self.environment_id)
        return [*(public_forms(each.key.public_key).whpk for each in published), self.secret]

    def rotate_key(self) -> str:
        """Replace the key as in an emergency: the new one signs at once; return its id."""
        rotated = self._signing_keys.rotate(self.environment_id, emergency=True)
        return self.background.run(rotated).key.key_id

    def deliver(
        self,
        url: str,
        event_type: str,
        data: Any = None,
        *,
        event_id: str | None = None,
        signed_at: datetime | None = None,
    ) -> ReceivedResponse:
        """Send an event to a receiver, once; return its response, whatever its status.

        Arguments are those of :meth:`request`; raises what :meth:`send` does.
        """
        request = self.request(url, event_type, data, event_id=event_id, signed_at=signed_at)
        return self.send(request)

    def request(
        self,
        url: str,
        event_type: str,
        data: Any = None,
        *,
        event_id: str | None = None,
        signed_at: datetime | None = None,
    ) -> HttpRequest:
        """Return the signed request of an event without sending it, for a test client.

        ``data`` are by default the example of the catalogue. The same ``event_id`` again makes a
        duplicate, and ``signed_at`` (aware) a request that is old. Raises :class:`InvalidInput` for
        a type that is not in the catalogue.
        """
        if event_type not in self._catalogue.types:
            problem = f"{event_type} is not an event type; there are"
            raise InvalidInput(f"{problem} {self._catalogue.names}.")
        if data is None:
            data = self._catalogue.types[event_type].example
        event = Event(
            event_id=event_id or str(self._ids()),
            environment_id=self.environment_id,
            type=event_type,
            occurred_at=self._clock.now(),
            data=json.dumps(data, separators=(",", ":")).encode(),
        )
        return self.background.run(self._signed(url, event, signed_at))

    def send(self, request: HttpRequest) -> ReceivedResponse:
        """Send a request as it is: an ``attrs.evolve`` of one can have another body or header.

        Raises :class:`SendingFailed` if there is no response within ten seconds, and for a
        destination that is not on loopback and not a public address.
        """
        return self.background.run(self._sender.send(request, _TIMEOUT))

    async def _signed(self, url: str, event: Event, signed_at: datetime | None) -> HttpRequest:
        keys = signing_at(
            await self._key_cache.load_or_create(self.environment_id), self._clock.now()
        )
        webhook = Webhook(
            webhook_id=self._ids(),
            environment_id=self.environment_id,
            name="test",
            url=url,
            events=frozenset({event.type}),
            created_at=event.occurred_at,
            updated_at=event.occurred_at,
            signing_secrets=(self._secret,),
        )
        delivery = ClaimedDelivery(
            fence=Fence(self._ids(), self.environment_id, 1, self._ids()),
            webhook_id=webhook.webhook_id,
            event_id=event.event_id,
            event_type=event.type,
            failures=0,
            body=body_of(event),
        )
        signing = signing_at(keys, self._clock.now())
        self._clock.signing_at = signed_at
        try:
            await self._attempts.make(delivery, webhook, signing)
        finally:
            self._clock.signing_at = None
        return self._captured.requests.pop()

    async def _jwks(self, _request: web.Request) -> web.Response:
        published = await self._signing_keys.published(self.environment_id)
        return web.json_response(
            {"keys": [public_forms(each.key.public_key).jwk for each in published]}
        )


async def _sender() -> AiohttpSender:
    """Make the sender where the loop runs."""
    return AiohttpSender(_LOOPBACK)
