"""How one process tells others that deliveries wait: a hint, never a promise."""

from abc import abstractmethod
from typing import Protocol


class DispatchNotifier(Protocol):
    """Wakes the dispatching processes of a storage; they poll it as well, so nothing may be lost.

    A storage that has no means for it wakes nobody, and is never woken.
    """

    @abstractmethod
    def wake(self) -> None:
        """Say that deliveries are stored that nobody has taken; returns at once, raises nothing.

        To be called after the commit. Many calls are told as few.
        """

    @abstractmethod
    async def wait(self) -> None:
        """Return once another process has said so since the last return, as far as is known."""

    @abstractmethod
    async def close(self) -> None:
        """Tell nobody any more."""
