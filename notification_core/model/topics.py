"""The topics of an installation: where events come from, and where messages go to."""

from collections.abc import Sequence

from attrs import frozen


@frozen
class Topics:
    """The names of all topics; each begins with the installation's prefix."""

    prefix: str = ""

    @property
    def sources(self) -> Sequence[str]:
        """Where events come from."""
        return f"{self.prefix}pipeline-events", f"{self.prefix}job-events"

    @property
    def dead_letters(self) -> str:
        """Where messages go to that are no events."""
        return f"{self.prefix}notification-dead-letters"

    @property
    def facts(self) -> str:
        """Where the platform is told what it should know."""
        return f"{self.prefix}webhook-events"
