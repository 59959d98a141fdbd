"""A directory of environments in memory."""

from collections.abc import Collection
from uuid import UUID

from notification_core.errors import DirectoryUnavailable
from notification_core.ports.environments import EnvironmentDirectory


class MemoryEnvironmentDirectory(EnvironmentDirectory):
    """Knows the environments that it was given; while it is ``away`` it cannot tell."""

    def __init__(self, environment_ids: Collection[UUID] = ()) -> None:
        self.environment_ids = set(environment_ids)
        self.away = False
        self.asked: list[UUID] = []

    async def exists(self, environment_id: UUID) -> bool:
        """Tell whether an environment is known."""
        self.asked.append(environment_id)
        if self.away:
            raise DirectoryUnavailable("The directory of environments is unavailable.")
        return environment_id in self.environment_ids

    async def close(self) -> None:
        """Do nothing."""
