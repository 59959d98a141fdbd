"""Portal sessions: making them, exchanging their codes, and revoking them."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import timedelta
from uuid import UUID

from attrs import field, frozen

from notification_core.errors import (
    Detail,
    InvalidPortalSession,
    PortalCodeRefused,
    PortalSessionNotFound,
    SessionEnded,
)
from notification_core.model.caller import Scope
from notification_core.model.portal_session import (
    DEFAULT_LENGTH,
    MAX_LENGTH,
    MAX_NAME_LENGTH,
    SCOPES,
    PortalSession,
    exchange_code,
)
from notification_core.model.request_records import RecordsOf, RequestRecords, records_for
from notification_core.model.session_token import (
    format_token,
    hash_token,
    ids_in,
    matches_token,
)
from notification_core.model.text import validate_text
from notification_core.ports.clock import Clock
from notification_core.ports.portal_sessions import PortalSessionStore

_ENDED = "The session has ended. Open the portal again."
_IDS = 2  # environment and session


@frozen
class PortalSessionDraft:
    """What is asked for."""

    scope: Scope
    name: str | None = None
    expires_in: timedelta = DEFAULT_LENGTH


@frozen
class IssuedPortalSession:
    """A new session with its one-time code, or one whose code was exchanged with its token."""

    session: PortalSession
    secret_text: str = field(repr=False)


class PortalSessionService:
    """Makes portal sessions and finds them; each method raises :class:`StorageUnavailable`.

    ``require_environment`` raises unless something may be made for an environment.
    """

    def __init__(
        self,
        store: PortalSessionStore,
        require_environment: Callable[[UUID], Awaitable[None]],
        clock: Clock,
        ids: Callable[[], UUID],
        new_secret: Callable[[], bytes],
    ) -> None:
        self._store = store
        self._require_environment = require_environment
        self._clock = clock
        self._ids = ids
        self._new_secret = new_secret

    async def create(
        self,
        environment_id: UUID,
        draft: PortalSessionDraft,
        make_records: RecordsOf[PortalSession] | None = None,
    ) -> IssuedPortalSession:
        """Make a session, with the code that opens it once within five minutes.

        Raises :class:`InvalidPortalSession`, which names all that is wrong, and what
        ``require_environment`` does.
        """
        if details := [*_errors(draft)]:
            raise InvalidPortalSession.of("The session", details)
        await self._require_environment(environment_id)
        now, session_id = self._clock.now(), self._ids()
        code = format_token((environment_id, session_id), self._new_secret())
        session = PortalSession(
            session_id=session_id,
            environment_id=environment_id,
            scope=draft.scope,
            name=draft.name,
            created_at=now,
            expires_at=now + draft.expires_in,
            code_digest=hash_token(code),
        )
        await self._store.add(session, records_for(make_records, session))
        return IssuedPortalSession(session, code)

    async def page(
        self, environment_id: UUID, limit: int, before: UUID | None = None
    ) -> Sequence[PortalSession]:
        """Return the sessions that have not expired, newest first, those before ``before`` only."""
        return await self._store.page(environment_id, self._clock.now(), limit, before)

    async def revoke(
        self, environment_id: UUID, session_id: UUID, records: RequestRecords = ()
    ) -> None:
        """End a session at once, in every process; raise :class:`PortalSessionNotFound`."""
        await self._store.delete(environment_id, session_id, records)

    async def exchange(self, code: str) -> IssuedPortalSession:
        """Exchange a one-time code for the session's token.

        Raises :class:`PortalCodeRefused`, also for all but one of several at once.
        """
        ids = ids_in(code, _IDS)
        if ids is None:
            raise PortalCodeRefused
        token = format_token(ids, self._new_secret())
        now = self._clock.now()

        def exchanged(stored: PortalSession) -> PortalSession:
            return exchange_code(stored, code, token, now)

        environment_id, session_id = ids
        try:
            # Anybody can send a code: nothing is locked for one that is rejected.
            exchanged(await self._store.find(environment_id, session_id))
            session = await self._store.change(environment_id, session_id, exchanged)
        except PortalSessionNotFound as error:
            raise PortalCodeRefused from error
        return IssuedPortalSession(session, token)

    async def find(self, token: str) -> PortalSession:
        """Return the session of a token; raise :class:`SessionEnded`."""
        ids = ids_in(token, _IDS)
        if ids is None:
            raise SessionEnded(_ENDED)
        try:
            session = await self._store.find(*ids)
        except PortalSessionNotFound as error:
            raise SessionEnded(_ENDED) from error
        is_its_token = matches_token(token, session.token_digest)
        if not (is_its_token and session.is_live(self._clock.now())):
            raise SessionEnded(_ENDED)
        return session


def _errors(draft: PortalSessionDraft) -> Iterator[Detail]:
    if draft.scope not in SCOPES:
        yield Detail("scope", f"A portal session has the scope {' or '.join(SCOPES)}.")
    if draft.name is not None:
        if not draft.name:
            yield Detail("name", f"The name is empty. Give 1 to {MAX_NAME_LENGTH} characters.")
        yield from validate_text("name", draft.name, MAX_NAME_LENGTH)
    if not timedelta(0) < draft.expires_in <= MAX_LENGTH:
        yield Detail("expires_in", "Give a duration of more than 0 and at most 24h.")
