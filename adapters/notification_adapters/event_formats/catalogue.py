"""Event catalogues: read from a file or taken as a value, with their schemas and examples tried."""

from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec
from jsonschema_rs import ValidationError, ValidationErrorKind

from notification_adapters.event_formats.data_schemas import validator_of
from notification_adapters.event_formats.positioned_text import (
    MAX_TEXT_BYTES,
    parse_positioned,
)
from notification_adapters.event_formats.strict_json import depth_error
from notification_core.errors import Detail, InvalidInput
from notification_core.model.event_catalogue import (
    CatalogueProblem,
    InvalidCatalogue,
    parse_catalogue,
    schema_place,
    written,
)
from notification_core.model.event_types import EventCatalogue, EventType

_MAX_PROBLEMS = 20
_MAX_SHOWN = 200


@cache
def default_catalogue() -> EventCatalogue:
    """Return the catalogue of the 1.0 interface: the events of pipelines and jobs."""
    text = files(__package__).joinpath("pipelines_and_jobs.json").read_bytes()
    return parse_catalogue(msgspec.json.decode(text))


@cache
def operational_catalogue() -> EventCatalogue:
    """Return the catalogue of the operational events, which the system itself publishes."""
    text = files(__package__).joinpath("operational_events.json").read_bytes()
    return parse_catalogue(msgspec.json.decode(text), reserved=())


def read_catalogue(path: Path) -> EventCatalogue:
    """Read the catalogue in a file of JSON or YAML.

    Raises ``ValueError``, which says what is wrong on which line.
    """
    try:
        with path.open("rb") as file:
            text = parse_positioned(file.read(MAX_TEXT_BYTES + 1))
    except OSError as error:
        raise ValueError(f"it cannot be read: {error.strerror}") from None
    try:
        return _checked(parse_catalogue(text.value, str(path)))
    except InvalidCatalogue as error:
        sentences = [
            f"line {text.line_of(place)}, {written(place)}: {message}"
            for place, message in error.problems
        ]
        raise ValueError(" ".join(sentences)) from None


def catalogue_of(document: Mapping[str, Any]) -> EventCatalogue:
    """Return the catalogue that a document is; raise :class:`InvalidInput`, which names places."""
    try:
        text = msgspec.json.encode(document)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidInput(f"The catalogue cannot be written as JSON: {error}.") from error
    if problem := depth_error(text):
        raise InvalidInput(f"The catalogue is refused: {problem}")
    if len(text) > MAX_TEXT_BYTES:
        raise InvalidInput(f"A catalogue has at most {MAX_TEXT_BYTES:,} bytes as JSON.")
    try:
        return _checked(parse_catalogue(msgspec.json.decode(text)))
    except InvalidCatalogue as error:
        details = [Detail(written(place), message) for place, message in error.problems]
        raise InvalidInput(f"The catalogue is refused: {error}", details) from None


def _checked(catalogue: EventCatalogue) -> EventCatalogue:
    """Return a catalogue whose schemas are JSON Schemas that its examples fit."""
    problems = [
        problem for event_type in catalogue.types.values() for problem in _problems(event_type)
    ]
    if problems:
        raise InvalidCatalogue(problems[:_MAX_PROBLEMS])
    return catalogue


def _problems(event_type: EventType) -> Iterator[CatalogueProblem]:
    name = event_type.name
    try:
        validator = validator_of(event_type)
    except ValidationError as error:
        place = schema_place(name, error.instance_path)
        yield CatalogueProblem(place, f"This is not a JSON Schema: {_sentence(error)}.")
        return
    try:
        validator.validate(event_type.example)
    except ValidationError as misfit:
        place = (*schema_place(name)[:-1], "example", *misfit.instance_path)
        problem = f"The example does not fit its schema: {_sentence(misfit)}."
        yield CatalogueProblem(place, problem)


def _sentence(error: ValidationError) -> str:
    match error.kind:
        case ValidationErrorKind.AnyOf():
            shown = msgspec.json.encode(error.instance).decode()
            text = f"{shown} is not allowed here"
        case _:
            text = error.message
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…"
