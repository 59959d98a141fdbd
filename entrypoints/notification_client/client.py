"""The client: one method for each operation of the API.

Each method raises :class:`ApiUnavailable` once its retries are over, and :class:`ApiRefused` or one
of its subclasses; lists are read page by page while they are iterated.
"""

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Mapping
from datetime import datetime, timedelta
from types import TracebackType
from typing import Self, TypeVar
from urllib.parse import quote
from uuid import UUID

import msgspec

from notification_client.dead_letters import DeadLetterMethods
from notification_client.errors import ApiUnavailable
from notification_client.models import (
    ApiKey,
    AuditEntry,
    Delivery,
    DeliveryWithAttempts,
    Erasure,
    EventSummary,
    EventType,
    EventWithDeliveries,
    FilterTrial,
    NewApiKey,
    NewEvent,
    NewSigningSecret,
    PublishedEvent,
    Replay,
    ReplayCount,
    Settings,
    SigningSecret,
    Statistics,
    VerificationKey,
    Webhook,
    WebhookDraft,
    WebhookLog,
    WebhookPatch,
)
from notification_client.portal_sessions import PortalSessionMethods
from notification_client.publishing import publish
from notification_client.transport import Response, Transport, to_json

_Model = TypeVar("_Model")
_PAGE = "100"


class NotificationClient(PortalSessionMethods, DeadLetterMethods):
    """A client of the API at a base URL; an async context manager.

    ``retry_for`` bounds how long a request is repeated that cannot be served now; each repetition
    is safe, since publishing is idempotent by event id and other effects by ``Idempotency-Key``.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        retry_for: timedelta = timedelta(seconds=30),
        on_retry: Callable[[ApiUnavailable], None] = lambda _: None,
    ) -> None:
        self.transport = Transport(url, api_key=api_key, retry_for=retry_for, on_retry=on_retry)

    async def __aenter__(self) -> Self:
        await self.transport.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.transport.__aexit__(kind, error, trace)

    # Events.

    async def publish(
        self, environment_id: UUID, events: Iterable[NewEvent]
    ) -> list[PublishedEvent]:
        """Publish events, in requests of at most 500 and 8 MiB; return what happened to each.

        Every event that was returned is stored. If a later request fails, those before it are
        stored all the same: publishing again under the same ids is safe.
        """
        return [event async for event in self.publish_stream(environment_id, events)]

    def publish_stream(
        self, environment_id: UUID, events: Iterable[NewEvent] | AsyncIterable[NewEvent]
    ) -> AsyncIterator[PublishedEvent]:
        """Publish events while they come, and yield what happened to each once it is stored."""
        return publish(self.transport, environment_id, events)

    async def event_types(self, environment_id: UUID | None = None) -> list[EventType]:
        """Return the event types, or those that webhooks of an environment can subscribe to."""
        query = _query({"environment_id": environment_id})
        response = await self.transport.get("/webhooks/events", query)
        return _read(response.body, list[EventType])

    def events(
        self,
        environment_id: UUID,
        *,
        event: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> AsyncIterator[EventSummary]:
        """Yield the events of an environment, newest first."""
        path = f"/environments/{environment_id}/events"
        return self._pages(path, list[EventSummary], event=event, since=since, until=until)

    async def event(self, environment_id: UUID, event_id: str) -> EventWithDeliveries:
        """Return an event with its first 100 deliveries."""
        path = f"/environments/{environment_id}/events/{quote(event_id, safe='')}"
        response = await self.transport.get(path, {"limit": _PAGE})
        return _read(response.body, EventWithDeliveries)

    async def event_body(self, environment_id: UUID, event_id: str) -> bytes:
        """Return the body that webhooks are sent of an event, byte for byte."""
        path = f"/environments/{environment_id}/events/{quote(event_id, safe='')}/body"
        return (await self.transport.get(path)).body

    # Webhooks.

    async def webhooks(self, environment_id: UUID) -> list[Webhook]:
        """Return the webhooks of an environment, oldest first."""
        response = await self.transport.get(f"/environments/{environment_id}/webhooks")
        return _read(response.body, list[Webhook])

    async def create_webhook(self, environment_id: UUID, draft: WebhookDraft) -> Webhook:
        """Create a webhook."""
        path = f"/environments/{environment_id}/webhooks"
        return _webhook(await self.transport.post_once(path, to_json(draft)))

    async def webhook(self, webhook_id: UUID) -> Webhook:
        """Return a webhook."""
        return _webhook(await self.transport.get(f"/webhooks/{webhook_id}"))

    async def replace_webhook(
        self, webhook_id: UUID, draft: WebhookDraft, *, etag: str | None = None
    ) -> Webhook:
        """Replace a webhook; with an ``etag``, only if it is still the one that was read."""
        return await self._write_webhook("PUT", webhook_id, draft, etag)

    async def change_webhook(
        self, webhook_id: UUID, patch: WebhookPatch, *, etag: str | None = None
    ) -> Webhook:
        """Change some fields of a webhook; with an ``etag``, only if it is still that one."""
        return await self._write_webhook("PATCH", webhook_id, patch, etag)

    async def delete_webhook(self, webhook_id: UUID, *, etag: str | None = None) -> None:
        """Delete a webhook; what it still waits for is cancelled."""
        await self.transport.request("DELETE", f"/webhooks/{webhook_id}", headers=_if_match(etag))

    async def test_webhook(self, webhook_id: UUID, event: str | None = None) -> WebhookLog:
        """Send an event type's example to a webhook now; return the attempt."""
        body = to_json({"event": event} if event else {})
        response = await self.transport.post_once(f"/webhooks/{webhook_id}/test", body)
        return _read(response.body, WebhookLog)

    async def try_filter(
        self, webhook_id: UUID, event_filter: dict[str, object], limit: int = 20
    ) -> FilterTrial:
        """Return which of the latest stored events a filter matches."""
        body = to_json({"filter": event_filter, "limit": limit})
        path = f"/webhooks/{webhook_id}/filter-trials"
        return _read((await self.transport.request("POST", path, body)).body, FilterTrial)

    async def signing_secrets(self, webhook_id: UUID) -> list[SigningSecret]:
        """Return the secrets that requests to a webhook are signed with, the newest first."""
        response = await self.transport.get(f"/webhooks/{webhook_id}/signing-secrets")
        return _read(response.body, list[SigningSecret])

    async def create_signing_secret(
        self, webhook_id: UUID, secret: str | None = None
    ) -> NewSigningSecret:
        """Have requests signed with a secret, one that is made unless it is given.

        It is shown once: the response to a repetition, after a lost connection, is without it.
        """
        body = to_json({"secret": secret} if secret else {})
        path = f"/webhooks/{webhook_id}/signing-secrets"
        return _read((await self.transport.post_once(path, body)).body, NewSigningSecret)

    async def revoke_signing_secret(self, webhook_id: UUID, secret_id: UUID) -> None:
        """Have requests to a webhook not signed with a secret any more."""
        path = f"/webhooks/{webhook_id}/signing-secrets/{secret_id}"
        await self.transport.request("DELETE", path)

    # Looking back.

    def logs(  # noqa: PLR0913 - the filters that the API has
        self,
        webhook_id: UUID,
        *,
        outcome: str | None = None,
        event: str | None = None,
        http_code: int | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> AsyncIterator[WebhookLog]:
        """Yield the attempts of a webhook that have ended, newest first."""
        filters = {"outcome": outcome, "event": event, "http_code": http_code}
        path = f"/webhooks/{webhook_id}/logs"
        return self._pages(path, list[WebhookLog], since=since, until=until, **filters)

    def deliveries(  # noqa: PLR0913 - the filters that the API has
        self,
        webhook_id: UUID,
        *,
        state: str | None = None,
        event: str | None = None,
        http_code: int | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> AsyncIterator[Delivery]:
        """Yield the deliveries of a webhook, newest first."""
        filters = {"state": state, "event": event, "http_code": http_code}
        path = f"/webhooks/{webhook_id}/deliveries"
        return self._pages(path, list[Delivery], since=since, until=until, **filters)

    async def webhook_statistics(
        self,
        webhook_id: UUID,
        *,
        bucket: str = "hour",
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Statistics:
        """Return what was sent to a webhook, how it ended and how long it took."""
        path = f"/webhooks/{webhook_id}/stats"
        return await self._statistics(path, bucket=bucket, since=since, until=until)

    async def environment_statistics(
        self,
        environment_id: UUID,
        *,
        bucket: str = "hour",
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Statistics:
        """Return the same of all webhooks of an environment together, deleted ones included."""
        path = f"/environments/{environment_id}/stats"
        return await self._statistics(path, bucket=bucket, since=since, until=until)

    async def delivery(self, delivery_id: UUID) -> DeliveryWithAttempts:
        """Return a delivery with its attempts."""
        response = await self.transport.get(f"/deliveries/{delivery_id}")
        return _read(response.body, DeliveryWithAttempts)

    async def redeliver(self, delivery_id: UUID) -> Delivery:
        """Make one more delivery of the same event to the same webhook."""
        response = await self.transport.post_once(f"/deliveries/{delivery_id}/retry")
        return _read(response.body, Delivery)

    async def count_replay(
        self,
        webhook_id: UUID,
        since: datetime,
        until: datetime | None = None,
        states: Iterable[str] | None = None,
    ) -> ReplayCount:
        """Return how many deliveries a replay would make."""
        body = to_json(_replay(since, until, states) | {"dry_run": True})
        path = f"/webhooks/{webhook_id}/replays"
        return _read((await self.transport.request("POST", path, body)).body, ReplayCount)

    async def start_replay(
        self,
        webhook_id: UUID,
        since: datetime,
        until: datetime | None = None,
        states: Iterable[str] | None = None,
    ) -> Replay:
        """Deliver the events of a time range again, those whose deliveries are in these states."""
        body = to_json(_replay(since, until, states))
        response = await self.transport.post_once(f"/webhooks/{webhook_id}/replays", body)
        return _read(response.body, Replay)

    def replays(self, webhook_id: UUID) -> AsyncIterator[Replay]:
        """Yield the replays of a webhook, newest first."""
        return self._pages(f"/webhooks/{webhook_id}/replays", list[Replay])

    async def replay(self, webhook_id: UUID, replay_id: UUID) -> Replay:
        """Return a replay, with how far it is."""
        response = await self.transport.get(f"/webhooks/{webhook_id}/replays/{replay_id}")
        return _read(response.body, Replay)

    async def cancel_replay(self, webhook_id: UUID, replay_id: UUID) -> None:
        """Stop a replay; what it has made by then is delivered."""
        await self.transport.request("DELETE", f"/webhooks/{webhook_id}/replays/{replay_id}")

    # Environments and access.

    async def settings(self, environment_id: UUID) -> Settings:
        """Return the verification keys of an environment."""
        response = await self.transport.get(f"/environments/{environment_id}/settings")
        return _read(response.body, Settings)

    async def rotate_verification_key(
        self, environment_id: UUID, *, emergency: bool = False
    ) -> VerificationKey:
        """Make a new key; in an ``emergency`` the others are revoked at once."""
        path = f"/environments/{environment_id}/settings/verification-keys"
        response = await self.transport.post_once(path, to_json({"emergency": emergency}))
        return _read(response.body, VerificationKey)

    async def erase_environment(self, environment_id: UUID) -> Erasure:
        """Begin to erase all of an environment; it is irreversible."""
        response = await self.transport.request("DELETE", f"/environments/{environment_id}")
        return _read(response.body, Erasure)

    async def erasure(self, environment_id: UUID) -> Erasure:
        """Return how far the erasure of an environment is."""
        response = await self.transport.get(f"/environments/{environment_id}/erasure")
        return _read(response.body, Erasure)

    def api_keys(self) -> AsyncIterator[ApiKey]:
        """Yield all API keys, newest first."""
        return self._pages("/keys", list[ApiKey])

    async def create_api_key(
        self,
        name: str,
        scope: str,
        environments: Iterable[UUID] | None = None,
        expires_at: datetime | None = None,
    ) -> NewApiKey:
        """Create an API key, for all environments if none are named; its text is shown once.

        It is tried once: a repetition could make a second key.
        """
        body = {
            "name": name,
            "scope": scope,
            "environments": "all" if environments is None else [str(each) for each in environments],
        }
        if expires_at is not None:
            body["expires_at"] = expires_at.isoformat()
        response = await self.transport.request("POST", "/keys", to_json(body), retries=False)
        return _read(response.body, NewApiKey)

    async def revoke_api_key(self, key_id: UUID) -> None:
        """Revoke an API key."""
        await self.transport.request("DELETE", f"/keys/{key_id}")

    def audit(self, environment_id: UUID | None = None) -> AsyncIterator[AuditEntry]:
        """Yield the audit log of an environment, or of the installation, newest first."""
        path = "/audit" if environment_id is None else f"/environments/{environment_id}/audit"
        return self._pages(path, list[AuditEntry])

    # Shared by the above.

    async def _pages(
        self, path: str, kind: type[list[_Model]], **filters: object
    ) -> AsyncIterator[_Model]:
        async for page in self.transport.pages(path, {"limit": _PAGE, **_query(filters)}):
            for model in _read(page, kind):
                yield model

    async def _statistics(self, path: str, **query: object) -> Statistics:
        return _read((await self.transport.get(path, _query(query))).body, Statistics)

    async def _write_webhook(
        self, method: str, webhook_id: UUID, body: object, etag: str | None
    ) -> Webhook:
        headers = _if_match(etag)
        path = f"/webhooks/{webhook_id}"
        return _webhook(await self.transport.request(method, path, to_json(body), headers=headers))


def _read(body: bytes, kind: type[_Model]) -> _Model:
    return msgspec.json.decode(body, type=kind)


def _webhook(response: Response) -> Webhook:
    return msgspec.structs.replace(_read(response.body, Webhook), etag=response.etag)


def _if_match(etag: str | None) -> dict[str, str]:
    return {} if etag is None else {"If-Match": etag}


def _query(parameters: Mapping[str, object]) -> dict[str, str]:
    return {
        name: value.isoformat() if isinstance(value, datetime) else str(value)
        for name, value in parameters.items()
        if value is not None
    }


def _replay(
    since: datetime, until: datetime | None, states: Iterable[str] | None
) -> dict[str, object]:
    fields = {"since": since, "until": until, "states": states and [*states]}
    return {name: value for name, value in fields.items() if value is not None}
