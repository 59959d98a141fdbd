"""Whether the data of an event is what the catalogue says of its type."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Protocol

from notification_core.errors import Detail
from notification_core.model.event import Event


class DataValidator(Protocol):
    """Validates the data of events of a catalogue; data that it cannot represent does not fit."""

    @abstractmethod
    def fits(self, event: Event) -> bool:
        """Tell whether an event's data matches the schema of its type."""

    @abstractmethod
    def errors(self, event: Event, most: int) -> Sequence[Detail]:
        """Return why it does not, of each field such as ``data.status`` one thing.

        There are ``most`` at most, and at least one unless the data fits.
        """
