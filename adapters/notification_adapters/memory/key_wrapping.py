"""Secrets that are configured as they are."""

from notification_core.ports.key_wrapping import KeyWrapping


class NoWrapping(KeyWrapping):
    """Takes each text for the secret itself: whoever can read the configuration has it."""

    async def unwrap(self, wrapped: str) -> str:
        """Return the same text."""
        return wrapped

    async def close(self) -> None:
        """Do nothing."""
