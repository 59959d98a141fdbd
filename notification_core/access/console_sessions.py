"""Console sessions: signing in with a credential of the API, and out."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from uuid import UUID

from attrs import field, frozen

from notification_core.errors import CredentialRefused, SessionEnded
from notification_core.model.console_session import ConsoleSession, CredentialGrant
from notification_core.model.request_records import RecordsOf, RequestRecords, records_for
from notification_core.model.session_token import (
    format_token,
    hash_token,
    ids_in,
    matches_token,
)
from notification_core.ports.clock import Clock
from notification_core.ports.console_sessions import ConsoleSessionStore
from notification_core.ports.credentials import CredentialScheme

_ENDED = "The session has ended. Sign in again."


@frozen
class SignedIn:
    """A new session with its token."""

    session: ConsoleSession
    token: str = field(repr=False)


@frozen
class ConsoleSessionService:
    """Makes console sessions and finds them; each method raises :class:`StorageUnavailable`.

    A session lasts for ``lasts``, but no longer than the credential that it was made with: one that
    none of the ``schemes`` takes for valid any more ends it.
    """

    _store: ConsoleSessionStore
    _clock: Clock
    _ids: Callable[[], UUID]
    _new_secret: Callable[[], bytes]
    _lasts: timedelta
    _schemes: Sequence[CredentialScheme] = ()

    async def create(
        self, grant: CredentialGrant, make_records: RecordsOf[ConsoleSession] | None = None
    ) -> SignedIn:
        """Make a session; raise :class:`CredentialRefused` if the caller may do nothing."""
        caller = grant.caller
        if caller.scope is None:
            raise CredentialRefused("This credential has no scope: it may see nothing here.")
        now, session_id = self._clock.now(), self._ids()
        token = format_token([session_id], self._new_secret())
        expires_at = now + self._lasts
        session = ConsoleSession(
            session_id=session_id,
            name=caller.name,
            scope=caller.scope,
            environments=caller.environments,
            credential=grant.reference,
            token_digest=hash_token(token),
            created_at=now,
            expires_at=min(expires_at, grant.expires_at or expires_at),
        )
        await self._store.add(session, records_for(make_records, session))
        return SignedIn(session, token)

    async def find(self, token: str) -> ConsoleSession:
        """Return the session of a token.

        Raises :class:`SessionEnded`, also once the credential has expired or was revoked.
        """
        ids = ids_in(token, 1)
        session = await self._store.find(ids[0]) if ids else None
        if session is None or not matches_token(token, session.token_digest):
            raise SessionEnded(_ENDED)
        if not session.is_live(self._clock.now()):
            raise SessionEnded(_ENDED)
        for scheme in self._schemes:
            if await scheme.is_valid(session.credential):
                return session
        raise SessionEnded(_ENDED)

    async def end(self, session: ConsoleSession, records: RequestRecords = ()) -> None:
        """End a session at once, in every process."""
        await self._store.delete(session.session_id, records)
