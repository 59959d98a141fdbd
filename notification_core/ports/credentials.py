"""Credentials: what callers of the API prove with who they are."""

from abc import abstractmethod
from typing import Protocol

from notification_core.model.caller import Caller


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
        """Return who calls.

        It is cheap for whatever anybody sends: at most one look-up of an id per second, or one
        signature checked with a key that is known. Raises :class:`CredentialRefused`, and
        :class:`StorageUnavailable` or :class:`IssuerUnavailable` where nobody can tell now.
        """
