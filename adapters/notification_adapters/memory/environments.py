"""A directory of environments that asks nobody."""

from collections.abc import Collection
from uuid import UUID

from notification_core.errors import DirectoryUnavailable
from notification_core.ports.environments import EnvironmentDirectory


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
