"""What a JSON Schema says against an input, in words for the customer.

The validator's own messages are not used: they quote values, which may be secret.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from attrs import field, frozen
from jsonschema_rs import ValidationError, ValidationErrorKind, Validator

from notification_core.errors import Detail

WHOLE = "body"
"""The field that is named where the whole body is wrong."""

_MAX_SHOWN = 64
_MAX_COMMAS = 64
_KINDS = {
    "object": "an object",
    "array": "an array",
    "string": "a string",
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
    "null": "null",
}
_BOUNDS = {
    "minLength": "This is too short. Give a length of {} or more.",
    "maxLength": "This is too long. Give a length of {} or less.",
    "minItems": "There are too few. Give {} or more.",
    "maxItems": "There are too many. Give {} or fewer.",
    "minProperties": "There are too few. Give {} or more, or leave the field out.",
    "maxProperties": "There are too many. Give {} or fewer.",
    "minimum": "This is too small. Give {} or more.",
    "maximum": "This is too large. Give {} or less.",
    "pattern": "This is not of the right form. Give what matches {}.",
}
_FORMATS = {
    "date-time": "a date and time of RFC 3339, such as 2026-01-31T09:30:00Z",
    "go-duration": "a duration, such as 250ms, 1m30s or 2h",
    "uuid": "a UUID, such as 0b6f2e0c-5d0c-4d7e-8a57-2f7a3f0f6f10",
}


@frozen
class DescribedSchema:
    """A schema and its validator, which say what is wrong with a value in sentences.

    ``source`` is where a reader finds the schema, for what no sentence is known for.
    """

    root: Mapping[str, Any] = field(repr=False)
    validator: Validator = field(repr=False)
    source: str

    def errors(self, value: object, most: int, at: Sequence[str] = ()) -> Sequence[Detail]:
        """Return what is wrong with a value that stands at a path: of each field the first thing.

        Of a value that is not bounded give one as the ``most``: see :func:`errors_of`.
        """
        details: dict[str, Detail] = {}
        for error in errors_of(self.validator, value, only_first=most == 1):
            for detail in self._details(error, [*at, *error.instance_path]):
                details.setdefault(detail.field, detail)
            if len(details) >= most:
                break
        return list(details.values())[:most]

    def _details(self, error: ValidationError, path: Sequence[str | int]) -> Iterator[Detail]:
        """Yield what one error of the validator comes to."""
        match error.kind:
            case ValidationErrorKind.Required(missing):
                yield Detail(field_at([*path, missing]), "This field is missing.")
            case ValidationErrorKind.AdditionalProperties(unexpected):
                fields = ", ".join(self._fields_at(error.schema_path))
                message = f"Unknown field. The fields are {fields}."
                for name in sorted(unexpected):
                    yield Detail(field_at([*path, name]), message)
            case kind:
                otherwise = f"This is not what {self.source} says."
                yield Detail(field_at(path), _sentence(kind, error.instance, otherwise))

    def _fields_at(self, schema_path: Sequence[str | int]) -> Sequence[str]:
        """Return the fields that can be given in the object whose schema was not met."""
        node: Any = self.root
        for step in schema_path[:-1]:
            node = node.get(str(step)) if isinstance(node, dict) else None
        properties = node.get("properties", {}) if isinstance(node, dict) else {}
        return [
            name
            for name, schema in properties.items()
            if not (isinstance(schema, dict) and schema.get("readOnly"))
        ]


def is_short(text: bytes) -> bool:
    """Tell whether a text has so few values that all errors in it may be looked for."""
    return text.count(b",") <= _MAX_COMMAS


def errors_of(
    validator: Validator, value: object, *, only_first: bool
) -> Iterable[ValidationError]:
    """Return the errors of a value.

    The validator finds all of them before it gives the first of several, which takes 14 s for a
    mebibyte of them: of a value whose text is not short ask for the first one only.
    """
    if not only_first:
        return validator.iter_errors(value)
    try:
        validator.validate(value)
    except ValidationError as error:
        return [error]
    return []


def field_at(path: Sequence[str | int]) -> str:
    """Return a path into a body as customers write it, such as ``events[2]``."""
    text = "".join(
        f"[{step}]" if isinstance(step, int) else f".{step[:_MAX_SHOWN]}" for step in path
    )
    return text.removeprefix(".") or WHOLE


def _sentence(kind: ValidationErrorKind, value: object, otherwise: str) -> str:
    match kind:
        case ValidationErrorKind.Type(types):
            instead = "Leave the field out, or give" if value is None else "Give"
            either = " or ".join(_KINDS[name] for name in types)
            return f"This is {_kind_of(value)}. {instead} {either}."
        case ValidationErrorKind.Enum(options):
            return f"This must be one of {', '.join(map(str, options))}."
        case ValidationErrorKind.Format(format):
            return f"This is not {_FORMATS.get(format, f'of the format {format}')}."
        case ValidationErrorKind.UniqueItems():
            return "Some of these are there more than once. Give each once."
        case _:
            return _BOUNDS[kind.name].format(kind.value) if kind.name in _BOUNDS else otherwise


def _kind_of(value: object) -> str:
    match value:
        case None:
            return _KINDS["null"]
        case bool():
            return _KINDS["boolean"]
        case int() | float():
            return _KINDS["number"]
        case str():
            return _KINDS["string"]
        case list():
            return _KINDS["array"]
        case _:
            return _KINDS["object"]
