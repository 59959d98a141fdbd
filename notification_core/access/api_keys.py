"""API keys: making them, showing which there are, and revoking them."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from uuid import UUID

from attrs import field, frozen

from notification_core.errors import Detail, InvalidApiKey
from notification_core.model.api_key import (
    MAX_ENVIRONMENTS,
    MAX_NAME_LENGTH,
    ApiKey,
    format_api_key,
    hash_api_key,
)
from notification_core.model.caller import Scope
from notification_core.model.request_records import RecordsOf, RequestRecords, records_for
from notification_core.model.text import validate_text
from notification_core.ports.api_keys import ApiKeyStore
from notification_core.ports.clock import Clock


@frozen
class ApiKeyDraft:
    """What is asked for; ``environments`` is None for all of them."""

    name: str
    scope: Scope
    environments: frozenset[UUID] | None
    expires_at: datetime | None = None


@frozen
class IssuedApiKey:
    """A new key, and what opens the API: that is shown once, and kept by nobody here."""

    key: ApiKey
    secret_text: str = field(repr=False)


class ApiKeyService:
    """Makes API keys and revokes them; each method raises :class:`StorageUnavailable`.

    ``on_revoked`` is called before a revocation is answered, so that it takes effect here at once;
    every other one does within a second.
    """

    def __init__(
        self,
        store: ApiKeyStore,
        clock: Clock,
        ids: Callable[[], UUID],
        new_secret: Callable[[], bytes],
        on_revoked: Callable[[UUID], None],
    ) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._new_secret = new_secret
        self._on_revoked = on_revoked

    async def create(
        self, draft: ApiKeyDraft, make_records: RecordsOf[IssuedApiKey] | None = None
    ) -> IssuedApiKey:
        """Make a key; raise :class:`InvalidApiKey`, which names all that is wrong."""
        now = self._clock.now()
        if details := [*_errors(draft, now)]:
            raise InvalidApiKey.of("The API key", details)
        key_id = self._ids()
        secret_text = format_api_key(key_id, self._new_secret())
        key = ApiKey(
            key_id=key_id,
            name=draft.name,
            scope=draft.scope,
            environments=draft.environments,
            digest=hash_api_key(secret_text),
            created_at=now,
            expires_at=draft.expires_at,
        )
        issued = IssuedApiKey(key, secret_text)
        await self._store.add(key, records_for(make_records, issued))
        return issued

    async def page(self, limit: int, before: UUID | None = None) -> Sequence[ApiKey]:
        """Return keys, the newest first, those before ``before`` only."""
        return await self._store.page(limit, before)

    async def revoke(self, key_id: UUID, records: RequestRecords = ()) -> ApiKey:
        """Revoke a key permanently and return it; raise :class:`ApiKeyNotFound`."""
        key = await self._store.revoke(key_id, self._clock.now(), records)
        self._on_revoked(key_id)
        return key


def _errors(draft: ApiKeyDraft, now: datetime) -> Iterator[Detail]:
    if not draft.name:
        yield Detail("name", f"The name is empty. Give 1 to {MAX_NAME_LENGTH} characters.")
    yield from validate_text("name", draft.name, MAX_NAME_LENGTH)
    if draft.environments is not None and not 1 <= len(draft.environments) <= MAX_ENVIRONMENTS:
        yield Detail("environments", f'Give 1 to {MAX_ENVIRONMENTS} environments, or "all".')
    if draft.expires_at is not None and draft.expires_at <= now:
        yield Detail("expires_at", "This is over already. Give a time to come, or leave it out.")
