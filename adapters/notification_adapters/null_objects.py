"""What stands behind a port where there is nobody to ask."""

from uuid import UUID

from notification_core.ports.environments import EnvironmentDirectory
from notification_core.ports.key_wrapping import KeyWrapping


class EveryEnvironment(EnvironmentDirectory):
    """Says of each environment that it exists: for where nobody else can tell."""

    async def exists(self, environment_id: UUID) -> bool:  # noqa: ARG002 - whichever it is
        """Return True."""
        return True

    async def close(self) -> None:
        """Do nothing."""


class NoWrapping(KeyWrapping):
    """Takes each text for the secret itself: whoever can read the configuration has it."""

    async def unwrap(self, wrapped: str) -> str:
        """Return the same text."""
        return wrapped

    async def close(self) -> None:
        """Do nothing."""
