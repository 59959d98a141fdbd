"""Whether the data of events is what the catalogue says of it."""

from collections.abc import Mapping

import jsonschema_rs
import msgspec

from notification_core.model.event import Event
from notification_core.model.event_types import EventType

_decode = msgspec.json.Decoder().decode


class DataSchemas:
    """Validates the data of events by the JSON Schemas of their types.

    What does not fit is delivered all the same, since the platform is the authority: this is for
    counting. Data that the validator cannot represent does not fit.
    """

    def __init__(self, catalogue: Mapping[str, EventType]) -> None:
        self._validators = {
            name: jsonschema_rs.validator_for(dict(event_type.schema))
            for name, event_type in catalogue.items()
        }

    def fits(self, event: Event) -> bool:
        """Tell whether an event's data matches the schema of its type."""
        try:
            return self._validators[event.type].is_valid(_decode(event.data))
        except (ValueError, RecursionError):
            return False
