"""Who unwraps the secrets that everything in the storage is encrypted under."""

from abc import abstractmethod
from typing import Protocol


class KeyWrapping(Protocol):
    """Stands between an encryption secret as it is configured and the secret itself.

    It is asked at the start and never again: no delivery waits for it or stops when it is
    unavailable.
    """

    @abstractmethod
    async def unwrap(self, wrapped: str) -> str:
        """Return the secret that a text stands for; asked again it returns the same.

        Raises :class:`UnwrappingRefused` where it is no such text or we may not have it, and
        :class:`KeyServiceUnavailable` where nobody can tell now. Neither shows text or secret.
        """

    @abstractmethod
    async def close(self) -> None:
        """Close idle connections."""
