"""Whether the data of events is what the catalogue says of it."""

import jsonschema_rs
import msgspec

from notification_core.model.event import Event
from notification_core.model.event_types import EventCatalogue, EventType

_decode = msgspec.json.Decoder().decode
# What a pattern costs is linear in the length of the data, which comes from outside.
_PATTERNS = jsonschema_rs.RegexOptions()


class DataSchemas:
    """Validates the data of events by the JSON Schemas of their types.

    What does not fit is delivered all the same, since the platform is the authority: this is for
    counting. Data that the validator cannot represent does not fit.
    """

    def __init__(self, catalogue: EventCatalogue) -> None:
        self.catalogue = catalogue
        self._validators = {
            name: validator_of(event_type) for name, event_type in catalogue.types.items()
        }

    def fits(self, event: Event) -> bool:
        """Tell whether an event's data matches the schema of its type."""
        try:
            return self._validators[event.type].is_valid(_decode(event.data))
        except (ValueError, RecursionError):
            return False


def validator_of(event_type: EventType) -> jsonschema_rs.Validator:
    """Compile the schema of a type; raise ``jsonschema_rs.ValidationError`` if it is none."""
    return jsonschema_rs.validator_for(dict(event_type.schema), pattern_options=_PATTERNS)
