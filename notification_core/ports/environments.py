"""Which environments exist: the platform knows, and is asked."""

from abc import abstractmethod
from typing import Protocol
from uuid import UUID


class EnvironmentDirectory(Protocol):
    """Knows the platform's environments."""

    @abstractmethod
    async def exists(self, environment_id: UUID) -> bool:
        """Tell whether an environment exists.

        Raises :class:`DirectoryUnavailable` where nobody can tell now; whoever wanted to write
        something for the environment then writes nothing.
        """

    @abstractmethod
    async def close(self) -> None:
        """Close what it is asked through."""
