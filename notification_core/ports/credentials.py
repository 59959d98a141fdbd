"""Credentials: what callers of the API prove with who they are."""

from abc import abstractmethod
from typing import Protocol

from notification_core.access import Caller


class Credentials(Protocol):
    """One kind of credentials: API keys, say, or JSON Web Tokens."""

    @abstractmethod
    def takes(self, credential: str) -> bool:
        """Tell whether a credential is of this kind, by its form alone."""

    @abstractmethod
    def subject(self, credential: str) -> str | None:
        """Return whose credential this says that it is, for counting failures; None: nobody's."""

    @abstractmethod
    def recognises(self, credential: str) -> bool:
        """Tell at once, without asking anybody, whether this very credential was good before.

        It may have been revoked since: :meth:`caller` has the last word.
        """

    @abstractmethod
    async def caller(self, credential: str) -> Caller:
        """Return who calls.

        Raises :class:`CredentialRefused`, and :class:`StorageUnavailable` or
        :class:`IssuerUnavailable` where nobody can tell now.
        """
