"""Waking on SQLite: there is one dispatching process, and it polls."""

import asyncio

from notification_core.ports.dispatch_notifier import DispatchNotifier


class NobodyElse(DispatchNotifier):
    """Wakes nobody."""

    def wake(self) -> None:
        """Do nothing."""

    async def wait(self) -> None:
        """Never return."""
        await asyncio.Event().wait()

    async def close(self) -> None:
        """Do nothing."""
