"""What stands behind a port where there is nobody to ask."""

import asyncio
from uuid import UUID

from notification_core.ports.dispatch_notifier import DispatchNotifier
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


class NoNotifier(DispatchNotifier):
    """Wakes nobody and is never woken: for where there is one dispatching process, and it polls."""

    def wake(self) -> None:
        """Do nothing."""

    async def wait(self) -> None:
        """Never return."""
        await asyncio.Event().wait()

    async def close(self) -> None:
        """Do nothing."""
