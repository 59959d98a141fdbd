"""Credentials: what callers of the API prove with who they are."""

from abc import abstractmethod
from typing import Protocol

from notification_core.model.caller import Caller
from notification_core.model.console_session import CredentialGrant


class CredentialScheme(Protocol):
    """One kind of credentials: API keys, say, or JSON Web Tokens."""

    @abstractmethod
    def accepts(self, credential: str) -> bool:
        """Tell whether a credential is of this kind, by its form alone."""

    @abstractmethod
    def subject(self, credential: str) -> str | None:
        """Return whose credential this says that it is, for counting failures; None: nobody's."""

    @abstractmethod
    async def caller(self, credential: str) -> Caller:
        """Return the caller.

        It is cheap for whatever anybody sends: at most one lookup of an id per second, or one
        signature checked with a key that is known. Raises :class:`CredentialRefused`, and
        :class:`StorageUnavailable` or :class:`IssuerUnavailable` where nobody can tell now.
        """

    @abstractmethod
    async def grant(self, credential: str) -> CredentialGrant:
        """Return what a session rests on that is begun with a credential.

        Raises as :meth:`caller` does.
        """

    @abstractmethod
    async def is_valid(self, reference: str) -> bool:
        """Tell whether a credential is still valid, by the ``reference`` of its grant.

        It is False for a reference of another scheme. Raises :class:`StorageUnavailable`.
        """
