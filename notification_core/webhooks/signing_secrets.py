"""Signing secrets of webhooks: making them, showing which there are, and revoking them."""

from collections.abc import Callable, Sequence
from uuid import UUID

from notification_core.errors import SigningSecretNotFound
from notification_core.model.request_records import RecordsOf, RequestRecords, records_for
from notification_core.model.secret_text import parse_signing_secret
from notification_core.model.signing_secret import (
    SigningSecret,
    live_secrets,
    with_new_secret,
)
from notification_core.ports.clock import Clock
from notification_core.ports.webhooks import WebhookStore


class SigningSecretService:
    """Makes signing secrets and revokes them.

    Each method raises :class:`StorageUnavailable` and :class:`WebhookNotFound`. What it changes is
    signed by in every process within a second; ``on_webhooks_changed`` is called with the webhooks'
    revision before a change is answered, so that this process does so at once.
    """

    def __init__(
        self,
        store: WebhookStore,
        clock: Clock,
        ids: Callable[[], UUID],
        new_secret: Callable[[], bytes],
        on_webhooks_changed: Callable[[int], None],
    ) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._new_secret = new_secret
        self._on_webhooks_changed = on_webhooks_changed

    async def list(self, environment_id: UUID, webhook_id: UUID) -> Sequence[SigningSecret]:
        """Return the secrets that a webhook's requests are signed with, the newest first."""
        webhook = await self._store.get(environment_id, webhook_id)
        return live_secrets(webhook.signing_secrets, self._clock.now())

    async def create(
        self,
        environment_id: UUID,
        webhook_id: UUID,
        text: str | None = None,
        make_records: RecordsOf[SigningSecret] | None = None,
    ) -> SigningSecret:
        """Have a webhook's requests signed with a new secret: ``whsec_…``, or one that is made.

        The one before it stays valid for 24 hours. Raises :class:`InvalidInput` for a text that is
        not a secret or is live already, and :class:`ResponseAlreadyStored` if the request whose
        response ``make_records`` makes has one.
        """
        content = self._new_secret() if text is None else parse_signing_secret(text)
        new = SigningSecret(self._ids(), content, self._clock.now())
        revision = await self._store.change_signing_secrets(
            environment_id,
            webhook_id,
            lambda stored: with_new_secret(stored, new),
            records_for(make_records, new),
        )
        self._on_webhooks_changed(revision)
        return new

    async def revoke(
        self,
        environment_id: UUID,
        webhook_id: UUID,
        secret_id: UUID,
        records: RequestRecords = (),
    ) -> None:
        """Sign with a secret no more; raise :class:`SigningSecretNotFound` if it is not live."""
        now = self._clock.now()

        def without(stored: Sequence[SigningSecret]) -> Sequence[SigningSecret]:
            live = live_secrets(stored, now)
            left = [secret for secret in live if secret.secret_id != secret_id]
            if len(left) == len(live):
                raise SigningSecretNotFound(secret_id)
            return left

        revision = await self._store.change_signing_secrets(
            environment_id, webhook_id, without, records
        )
        self._on_webhooks_changed(revision)
