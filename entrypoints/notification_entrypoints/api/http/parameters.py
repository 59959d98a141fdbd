"""Reading the parameters of a request: those of its path and those of its query."""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, tzinfo
from typing import cast, overload
from uuid import UUID

from aiohttp import web
from attrs import frozen

from notification_adapters.event_formats.validation import instant
from notification_core.errors import Detail
from notification_entrypoints.api.openapi.document import Parameter
from notification_entrypoints.api.problems import Problem, RequestRefused

_UUID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_WHOLE_NUMBER = re.compile(r"-?[0-9]{1,9}")
# A plus that is not escaped stands for a space in a query: 2026-03-01T09:30:00+01:00.
_PLUS_AS_SPACE = re.compile(r"(:[0-9]{2}(?:\.[0-9]+)?) (?=[0-9]{2}:[0-9]{2}$)")
_MAX_SHOWN = 64


@frozen
class Parameters:
    """The parameters of a request, judged by the document."""

    _values: Mapping[str, object]

    def id(self, name: str) -> UUID:
        """Return a parameter that is an id."""
        return cast("UUID", self._values[name])

    @overload
    def number(self, name: str, default: int) -> int: ...
    @overload
    def number(self, name: str, default: None) -> int | None: ...
    def number(self, name: str, default: int | None) -> int | None:
        """Return a parameter that is a whole number, the default where it is left out."""
        return cast("int | None", self._values.get(name, default))

    def text(self, name: str) -> str | None:
        """Return a parameter that is text, None where it is left out."""
        return cast("str | None", self._values.get(name))

    def instant(self, name: str, zone: tzinfo) -> datetime | None:
        """Return a parameter that is a time, None where it is left out."""
        text = self.text(name)
        return None if text is None else instant(text, zone)


def read_parameters(request: web.Request, known: Sequence[Parameter]) -> Parameters:
    """Return the parameters of a request; raise :class:`RequestRefused` with all that is wrong."""
    texts = dict(request.match_info)
    details: list[Detail] = []
    # Most requests have no query: they need not pay for looking into it.
    if request.rel_url.raw_query_string:
        texts |= request.query
        details += _query_complaints(request, known)
    values: dict[str, object] = {}
    for parameter in known:
        if (text := texts.get(parameter.name)) is not None:
            values[parameter.name] = value = _value(parameter, text)
            if not isinstance(value, UUID):
                details += _complaints(parameter, value)
    if details:
        raise RequestRefused(Problem.INVALID_PARAMETERS, details=details)
    return Parameters(values)


def _value(parameter: Parameter, text: str) -> UUID | int | str:
    """Return what a text stands for; what does not fit stays text, for the document to refuse."""
    if parameter.format == "uuid" and _UUID.fullmatch(text):
        return UUID(text)
    if parameter.format == "date-time":
        return _PLUS_AS_SPACE.sub(r"\1+", text)
    if parameter.type == "integer" and _WHOLE_NUMBER.fullmatch(text):
        return int(text)
    return text


def _complaints(parameter: Parameter, value: int | str) -> Iterator[Detail]:
    for detail in parameter.schema.judge(value):
        yield Detail(parameter.name, detail.message)


def _query_complaints(request: web.Request, known: Sequence[Parameter]) -> Iterator[Detail]:
    names = [each.name for each in known if each.where == "query"]
    for name in request.query:
        if name not in names:
            listed = f"There are {', '.join(names)}." if names else "This path takes none."
            yield Detail(name[:_MAX_SHOWN], f"There is no such parameter. {listed}")
    for name in names:
        if len(request.query.getall(name, [])) > 1:
            yield Detail(name, "This parameter is there more than once. Give it once.")
