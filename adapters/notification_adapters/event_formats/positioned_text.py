"""JSON and YAML as values, and the line that each part of them stands on.

Of YAML what JSON can say is read (YAML 1.2, core schema): ``yes`` and ``2026-01-31`` are strings.
Anchors and aliases are; tags, merge keys and several documents are not. Whatever the text holds,
reading it takes a time and a memory that are linear in its length.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, NoReturn

from notification_adapters.event_formats.strict_json import cut, depth_error
from notification_core.model.event import MAX_EVENT_DEPTH
from notification_core.model.event_catalogue import Place, written
from notification_core.model.event_types import Json

MAX_TEXT_BYTES = 4 * 1024 * 1024

_MAX_PARTS = 500_000
_TOKENS = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{},:]|[^\s\[\]{},:"]+|\n')
_NUMBERS = (
    (re.compile(r"[-+]?[0-9]{1,400}"), int),
    (re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]{1,4})?"), float),
)
_CONSTANTS: Mapping[str, Json] = {
    **dict.fromkeys(("null", "Null", "NULL", "~", ""), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


class PositionedText(NamedTuple):
    """What a text says, and the lines of its parts, counted from 1."""

    value: Json
    lines: Mapping[Place, int]

    def line_of(self, place: Place) -> int:
        """Return the line of a place, or of the nearest that there is on the way to it."""
        while place and place not in self.lines:
            place = place[:-1]
        return self.lines.get(place, 1)


def parse_positioned(text: bytes) -> PositionedText:
    """Read JSON, which begins with a brace, or YAML.

    Raises ``ValueError``, which says on which line what is wrong.
    """
    if len(text) > MAX_TEXT_BYTES:
        raise ValueError(f"it has {len(text):,} bytes; {MAX_TEXT_BYTES:,} are the most")
    try:
        decoded = text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = text.count(b"\n", 0, error.start) + 1
        raise ValueError(f"line {line}: this is not UTF-8") from None
    if decoded.lstrip()[:1] == "{":
        return _json(decoded, text)
    return _Yaml().read(decoded)


def _json(text: str, encoded: bytes) -> PositionedText:
    if error := depth_error(encoded):
        raise ValueError(error)
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as wrong:
        raise ValueError(f"line {wrong.lineno}: this is not JSON: {wrong.msg}") from None
    tokens = _tokens(text)
    lines: dict[Place, int] = {}
    for place, line in _positions(*next(tokens), tokens, ()):
        if place in lines:
            raise ValueError(_twice(line, place))
        if len(lines) == _MAX_PARTS:
            raise ValueError(_too_many(line))
        lines[place] = line
    return PositionedText(value, lines)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON; numbers are finite")


def _tokens(text: str) -> Iterator[tuple[str, int]]:
    """Yield the tokens of a text that is JSON, commas and colons left out, with their lines."""
    line = 1
    for match in _TOKENS.finditer(text):
        if match[0] == "\n":
            line += 1
        elif match[0] not in ",:":
            yield match[0], line


def _positions(
    token: str, line: int, tokens: Iterator[tuple[str, int]], place: Place
) -> Iterator[tuple[Place, int]]:
    """Yield the places within the value that begins with a token, and the lines of them."""
    yield place, line
    if token == "{":  # noqa: S105 - it is no password
        while (key := next(tokens))[0] != "}":
            yield from _positions(*next(tokens), tokens, (*place, json.loads(key[0])))
    elif token == "[":  # noqa: S105 - nor is this
        index = 0
        while (element := next(tokens))[0] != "]":
            yield from _positions(*element, tokens, (*place, index))
            index += 1


def _twice(line: int, place: Place) -> str:
    return f"line {line}: {written(place)} stands here for the second time; it may stand once"


def _too_many(line: int) -> str:
    return f"line {line}: there are more than {_MAX_PARTS:,} values, those of aliases included"


class _Yaml:
    """Makes the value of a text of the events that a parser of YAML makes of it."""

    def __init__(self) -> None:
        self._lines: dict[Place, int] = {}
        self._anchors: dict[str, tuple[Json, int]] = {}
        self._parts = 0

    def read(self, text: str) -> PositionedText:
        import yaml  # noqa: PLC0415 - most installations have no file in YAML

        loader: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        try:
            events = iter(yaml.parse(text, Loader=loader))
            value: Json = None
            for event in events:
                if type(event).__name__ == "DocumentStartEvent":
                    if self._parts:
                        _refuse(event, "this is a second document; give one")
                    value = self._node(next(events), events, ())
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line = mark.line + 1 if mark else 1
            raise ValueError(f"line {line}: this is not YAML: {error.problem}") from None
        except yaml.YAMLError as error:
            raise ValueError(f"this is not YAML: {error}") from None
        return PositionedText(value, self._lines)

    def _node(self, event: Any, events: Iterator[Any], place: Place) -> Json:
        """Return the value that begins with an event; its size counts wherever an alias has it."""
        self._lines[place] = event.start_mark.line + 1
        before = self._parts
        self._count(event, 1)
        if len(place) > MAX_EVENT_DEPTH:
            _refuse(event, f"this is nested too deeply; {MAX_EVENT_DEPTH} levels are the most")
        kind = type(event).__name__
        if kind == "AliasEvent":
            if event.anchor not in self._anchors:
                _refuse(event, f"there is no anchor {cut(event.anchor)!r} before this alias")
            value, size = self._anchors[event.anchor]
            self._count(event, size)
            return value
        if event.tag not in {None, "!"}:
            _refuse(event, f"the tag {cut(event.tag)} is not supported; write what JSON can say")
        made: Mapping[str, Callable[[Any, Iterator[Any], Place], Json]] = {
            "MappingStartEvent": self._mapping,
            "SequenceStartEvent": self._sequence,
            "ScalarEvent": _scalar,
        }
        value = made[kind](event, events, place)
        if event.anchor is not None:
            self._anchors[event.anchor] = value, self._parts - before
        return value

    def _mapping(self, _: Any, events: Iterator[Any], place: Place) -> Json:
        value: dict[str, Json] = {}
        while type(event := next(events)).__name__ != "MappingEndEvent":
            if type(event).__name__ != "ScalarEvent":
                _refuse(event, "a key is a string")
            key, here = event.value, (*place, event.value)
            if key == "<<" and event.implicit[0]:
                _refuse(event, "a merge key (<<) is not of YAML 1.2; use $ref, or write it out")
            if key in value:
                raise ValueError(_twice(event.start_mark.line + 1, here))
            value[key] = self._node(next(events), events, here)
            self._lines[here] = event.start_mark.line + 1
        return value

    def _sequence(self, _: Any, events: Iterator[Any], place: Place) -> Json:
        value: list[Json] = []
        while type(event := next(events)).__name__ != "SequenceEndEvent":
            value.append(self._node(event, events, (*place, len(value))))
        return value

    def _count(self, event: Any, parts: int) -> None:
        self._parts += parts
        if self._parts > _MAX_PARTS:
            raise ValueError(_too_many(event.start_mark.line + 1))


def _scalar(event: Any, _: Iterator[Any], __: Place) -> Json:
    text: str = event.value
    if not event.implicit[0]:  # quoted, or a block
        return text
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    for pattern, number in _NUMBERS:
        if pattern.fullmatch(text):
            value: Json = number(text)
            return value
    return text


def _refuse(event: Any, problem: str) -> NoReturn:
    raise ValueError(f"line {event.start_mark.line + 1}: {problem}")
