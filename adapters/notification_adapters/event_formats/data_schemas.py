"""Whether the data of events is what the catalogue says of it."""

from collections.abc import Sequence

import jsonschema_rs
import msgspec

from notification_adapters.event_formats.schema_errors import DescribedSchema, is_short
from notification_core.errors import Detail
from notification_core.model.event import Event
from notification_core.model.event_types import EventCatalogue, EventType
from notification_core.ports.data_validator import DataValidator

_LARGE = 128 * 1024
"""Bytes of data with many values above which it is looked at once only: 1 MiB takes 0.4 s."""

_decode = msgspec.json.Decoder().decode
# What a pattern costs is linear in the length of the data, which comes from outside.
_PATTERNS = jsonschema_rs.RegexOptions()


class DataSchemas(DataValidator):
    """Validates the data of events by the JSON Schemas of their types.

    Of a type that is not in the catalogue any data fits.
    """

    def __init__(self, catalogue: EventCatalogue) -> None:
        self.catalogue = catalogue
        self._validators = {
            name: validator_of(event_type) for name, event_type in catalogue.types.items()
        }

    def fits(self, event: Event) -> bool:
        """Tell whether an event's data matches the schema of its type."""
        validator = self._validators.get(event.type)
        try:
            return validator is None or validator.is_valid(_decode(event.data))
        except (ValueError, RecursionError):
            return False

    def errors(self, event: Event, most: int) -> Sequence[Detail]:
        """Return why it does not, of each field one thing, and so many at most.

        Of data with many values it is the first thing only, and if these are large, too, no field
        is named: looking for all, or once more at all, would take long.
        """
        has_few_values = is_short(event.data)
        if not has_few_values and len(event.data) > _LARGE:
            return [Detail("data", f"This does not fit the schema of {event.type}.")]
        schema = self.catalogue.types[event.type].schema
        validator = self._validators[event.type]
        described = DescribedSchema(schema, validator, f"the schema of {event.type}")
        try:
            data = _decode(event.data)
            return described.errors(data, most if has_few_values else 1, ["data"])
        except (ValueError, RecursionError):
            return [Detail("data", "This has a number or a text that cannot be validated.")]


def validator_of(event_type: EventType) -> jsonschema_rs.Validator:
    """Compile the schema of a type; raise ``jsonschema_rs.ValidationError`` if it is none."""
    return jsonschema_rs.validator_for(dict(event_type.schema), pattern_options=_PATTERNS)
