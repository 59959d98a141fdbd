"""Console sessions: somebody who has signed in to the console with a credential of the API.

The credential itself is not stored; ``credential`` tells by which one it was made, so that the
session ends with it.
"""

from datetime import datetime
from uuid import UUID

from attrs import field, frozen

from notification_core.model.caller import Caller, Scope


@frozen
class CredentialGrant:
    """What a credential gives: its ``caller``, until it expires.

    ``reference`` names the credential and is not secret: the scheme that made the grant tells by
    it whether the credential is still valid.
    """

    caller: Caller
    reference: str
    expires_at: datetime | None = None


@frozen
class ConsoleSession:
    """A session; ``environments`` is None for all of them.

    ``name``, ``scope`` and ``environments`` are those of the API's caller with its credential.
    """

    session_id: UUID
    name: str
    scope: Scope
    environments: frozenset[UUID] | None
    credential: str
    token_digest: bytes = field(repr=False)
    created_at: datetime
    expires_at: datetime

    @property
    def caller(self) -> Caller:
        """The caller that uses it."""
        return Caller(self.name, self.scope, self.environments)

    def is_live(self, now: datetime) -> bool:
        """Tell whether it has not expired."""
        return now < self.expires_at
