"""Directories of environments that ask nobody."""

from collections.abc import Collection
from uuid import UUID

from notification_core.errors import DirectoryUnavailable
from notification_core.ports.environments import EnvironmentDirectory


class EveryEnvironment(EnvironmentDirectory):
    """Says of each environment that it exists: for where nobody else can tell."""

    async def exists(self, environment_id: UUID) -> bool:  # noqa: ARG002 - whichever it is
        """Return True."""
        return True

    async def close(self) -> None:
        """Do nothing."""


class MemoryEnvironmentDirectory(EnvironmentDirectory):
    """Knows the environments that it was given; while it is ``away`` it cannot tell."""

    def __init__(self, known: Collection[UUID] = ()) -> None:
        self.known = set(known)
        self.away = False
        self.asked: list[UUID] = []

    async def exists(self, environment_id: UUID) -> bool:
        """Tell whether an environment is known."""
        self.asked.append(environment_id)
        if self.away:
            raise DirectoryUnavailable("The directory of environments is away.")
        return environment_id in self.known

    async def close(self) -> None:
        """Do nothing."""
