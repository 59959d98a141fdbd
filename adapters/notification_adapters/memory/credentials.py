"""Credentials in memory: the caller stands in a table."""

from collections.abc import Mapping

from notification_core.errors import CredentialRefused
from notification_core.model.caller import Caller
from notification_core.model.console_session import CredentialGrant
from notification_core.ports.credentials import CredentialScheme


class MemoryCredentials(CredentialScheme):
    """Takes any credential, and knows those that it was given with their callers."""

    def __init__(self, callers: Mapping[str, Caller]) -> None:
        self._callers = callers

    def accepts(self, credential: str) -> bool:  # noqa: ARG002 - the port's signature
        """Tell that a credential is of this kind: all are."""
        return True

    def subject(self, credential: str) -> str | None:
        """Return nobody: a credential that is not known says nothing."""

    async def caller(self, credential: str) -> Caller:
        """Return who has this credential."""
        if credential not in self._callers:
            raise CredentialRefused("Unknown credentials.")
        return self._callers[credential]

    async def grant(self, credential: str) -> CredentialGrant:
        """Return what a credential gives."""
        caller = await self.caller(credential)
        return CredentialGrant(caller, f"memory:{caller.name}")

    async def is_valid(self, reference: str) -> bool:
        """Tell whether there is a credential of this caller."""
        return reference in {f"memory:{caller.name}" for caller in self._callers.values()}
