"""Portal sessions: a customer's access to the console of one environment, for at most a day.

The platform makes a session and sends the customer's browser to a URL with a one-time code, which
is exchanged for a token. Of both only the SHA-256 is stored.
"""

from datetime import datetime, timedelta
from uuid import UUID

from attrs import evolve, field, frozen

from notification_core.errors import PortalCodeRefused
from notification_core.model.caller import Caller, Scope
from notification_core.model.session_token import hash_token, matches_token

DEFAULT_LENGTH = timedelta(hours=1)
MAX_LENGTH = timedelta(hours=24)
CODE_VALID_FOR = timedelta(minutes=5)
MAX_NAME_LENGTH = 256
SCOPES = (Scope.READ, Scope.WRITE)
"""What a session may have: managing keys, and other sessions, is the platform's."""


@frozen
class PortalSession:
    """A session; ``code_digest`` until its code is exchanged, ``token_digest`` from then on.

    ``name`` is what the audit log calls whoever uses it.
    """

    session_id: UUID
    environment_id: UUID
    scope: Scope
    name: str | None
    created_at: datetime
    expires_at: datetime
    code_digest: bytes | None = field(default=None, repr=False)
    token_digest: bytes | None = field(default=None, repr=False)

    @property
    def caller(self) -> Caller:
        """The caller that uses it."""
        name = f"portal:{self.name or self.session_id}"
        return Caller(name, self.scope, frozenset({self.environment_id}))

    @property
    def code_expires_at(self) -> datetime:
        """Until when its code can be exchanged."""
        return min(self.created_at + CODE_VALID_FOR, self.expires_at)

    def is_live(self, now: datetime) -> bool:
        """Tell whether it has not expired."""
        return now < self.expires_at


def exchange_code(session: PortalSession, code: str, token: str, now: datetime) -> PortalSession:
    """Return a session once its code was exchanged for a token.

    Raises :class:`PortalCodeRefused`, which says why. That a code has expired is said only to
    whoever has it; that it was used, to whoever has the session's ids, since its digest is gone.
    """
    if session.code_digest is None:
        raise PortalCodeRefused("This link was used already. Open the portal again.")
    if not matches_token(code, session.code_digest):
        raise PortalCodeRefused
    if now >= session.code_expires_at:
        raise PortalCodeRefused("This link has expired. Open the portal again.")
    return evolve(session, code_digest=None, token_digest=hash_token(token))
