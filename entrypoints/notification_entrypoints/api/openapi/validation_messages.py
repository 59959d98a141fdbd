"""What the document says against an input, in words for the customer.

The validator's own messages are not used: they quote values, which may be secret.
"""

from collections.abc import Iterator, Sequence

from jsonschema_rs import ValidationError, ValidationErrorKind

from notification_core.errors import Detail

WHOLE = "body"
"""The field that is named where the whole body is wrong."""

_MAX_SHOWN = 64
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
_OTHERWISE = "This is not what the document in /api/openapi.json says."
_FORMATS = {
    "date-time": "a date and time of RFC 3339, such as 2026-01-31T09:30:00Z",
    "uuid": "a UUID, such as 0b6f2e0c-5d0c-4d7e-8a57-2f7a3f0f6f10",
}


def validation_errors(error: ValidationError, fields: Sequence[str]) -> Iterator[Detail]:
    """Yield what one error of the validator comes to; ``fields`` are the fields that there are."""
    path = error.instance_path
    match error.kind:
        case ValidationErrorKind.Required(missing):
            yield Detail(field_at([*path, missing]), "This field is missing.")
        case ValidationErrorKind.AdditionalProperties(unexpected):
            for name in sorted(unexpected):
                message = f"There is no such field. The fields are {', '.join(fields)}."
                yield Detail(field_at([*path, name]), message)
        case kind:
            yield Detail(field_at(path), _sentence(kind, error.instance))


def field_at(path: Sequence[str | int]) -> str:
    """Return a path into a body as customers write it, such as ``events[2]``."""
    text = "".join(
        f"[{step}]" if isinstance(step, int) else f".{step[:_MAX_SHOWN]}" for step in path
    )
    return text.removeprefix(".") or WHOLE


def _sentence(kind: ValidationErrorKind, value: object) -> str:
    match kind:
        case ValidationErrorKind.Type(types):
            instead = "Leave the field out, or give" if value is None else "Give"
            either = " or ".join(_KINDS[name] for name in types)
            return f"This is {_kind_of(value)}. {instead} {either}."
        case ValidationErrorKind.Enum(options):
            return f"This is none of the values. Give one of {', '.join(map(str, options))}."
        case ValidationErrorKind.Format(format):
            return f"This is not {_FORMATS[format]}."
        case ValidationErrorKind.UniqueItems():
            return "Some of these are there more than once. Give each once."
        case _:
            return _BOUNDS.get(kind.name, _OTHERWISE).format(kind.value)


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
