"""Reading a request: the parameters of its path and its query, and its body.

A body is of the right type, and bounded in size, in time and in all together. Whatever it holds,
reading it takes a time that is linear in its length.
"""

import asyncio
import codecs
import json
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime, timedelta, tzinfo
from typing import cast, overload
from uuid import UUID

import msgspec
from aiohttp import StreamReader, hdrs, web
from attrs import define, field, frozen
from multidict import CIMultiDictProxy, MultiMapping
from yarl import URL

from notification_adapters.event_formats.schema_errors import WHOLE, field_at
from notification_adapters.event_formats.strict_json import MARKED, depth_error
from notification_adapters.event_formats.validation import instant
from notification_core.errors import Detail
from notification_entrypoints.api.openapi.document import Parameter
from notification_entrypoints.api.problems import Problem, RequestRefused

MAX_ELEMENTS = 1_000
"""The most elements of a list, and names of an object, in a body that is not of events."""

_CODINGS = {"identity", "gzip", "deflate"}
_UTF_8 = {"utf-8", "utf8"}
_KIB, _MIB = 1024, 1024 * 1024
_UUID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_WHOLE_NUMBER = re.compile(r"-?[0-9]{1,9}")
# A plus that is not escaped stands for a space in a query: 2026-03-01T09:30:00+01:00.
_PLUS_AS_SPACE = re.compile(r"(:[0-9]{2}(?:\.[0-9]+)?) (?=[0-9]{2}:[0-9]{2}$)")
_MAX_SHOWN = 64


@frozen
class Parameters:
    """The parameters of a request, checked by the document."""

    values: Mapping[str, object]

    def id(self, name: str) -> UUID:
        """Return a parameter that is an id."""
        return cast("UUID", self.values[name])

    @overload
    def number(self, name: str, default: int) -> int: ...
    @overload
    def number(self, name: str, default: None) -> int | None: ...
    def number(self, name: str, default: int | None) -> int | None:
        """Return a parameter that is a whole number, the default where it is left out."""
        return cast("int | None", self.values.get(name, default))

    def text(self, name: str) -> str | None:
        """Return a parameter that is text, None where it is left out."""
        return cast("str | None", self.values.get(name))

    def instant(self, name: str, zone: tzinfo) -> datetime | None:
        """Return a parameter that is a time, None where it is left out."""
        text = self.text(name)
        return None if text is None else instant(text, zone)


@frozen
class RequestHead:
    """What a call says besides its body: ``path`` are the texts that its path names things by."""

    method: str
    url: URL
    headers: CIMultiDictProxy[str] = field(repr=False)
    path: Mapping[str, str]


def read_parameters(head: RequestHead, declared: Sequence[Parameter]) -> Parameters:
    """Return the parameters of a call; raise :class:`RequestRefused` with all that is wrong."""
    texts = dict(head.path)
    details: list[Detail] = []
    # Most requests have no query: they need not pay for looking into it.
    if head.url.raw_query_string:
        query = head.url.query
        texts |= query
        details += _query_errors(query, declared)
    values: dict[str, object] = {}
    for parameter in declared:
        if (text := texts.get(parameter.name)) is None:
            continue
        if parameter.format == "uuid" and _UUID.fullmatch(text):
            values[parameter.name] = UUID(text)
            continue
        # What does not fit stays text, for the document to refuse.
        value: int | str = text
        if parameter.format == "date-time":
            value = _PLUS_AS_SPACE.sub(r"\1+", text)
        elif parameter.type == "integer" and _WHOLE_NUMBER.fullmatch(text):
            value = int(text)
        values[parameter.name] = value
        details += [Detail(parameter.name, e.message) for e in parameter.schema.validate(value)]
    if details:
        raise RequestRefused(Problem.INVALID_PARAMETERS, details=details)
    return Parameters(values)


def _query_errors(query: MultiMapping[str], declared: Sequence[Parameter]) -> Iterator[Detail]:
    names = [parameter.name for parameter in declared if parameter.where == "query"]
    for name in query:
        if name not in names:
            listed = f"There are {', '.join(names)}." if names else "This path takes none."
            yield Detail(name[:_MAX_SHOWN], f"There is no such parameter. {listed}")
    for name in names:
        if len(query.getall(name, [])) > 1:
            yield Detail(name, "This parameter is there more than once. Give it once.")


@define
class BodyMemory:
    """The memory of a process for the bodies of unfinished requests: ``most`` bytes together."""

    most: int
    used: int = 0


@define
class BodyShare:
    """How many bytes of the memory are one request's, until it releases them: at first nothing."""

    _memory: BodyMemory
    used: int = 0

    def take(self, size: int) -> None:
        """Take so many bytes more; raise :class:`RequestRefused` if that is too much in total."""
        if self._memory.used + size > self._memory.most:
            raise RequestRefused(Problem.TOO_MUCH_BUFFERED)
        self._memory.used += size
        self.used += size

    def release(self) -> None:
        """Give back all that was taken."""
        self._memory.used -= self.used
        self.used = 0


async def read_body(  # noqa: PLR0913, PLR0917 - a body, and what bounds it
    request: web.Request,
    media_types: Collection[str],
    most: int,
    within: timedelta,
    share: BodyShare,
    takes: Callable[[web.Request], bool] | None = None,
) -> bytes:
    """Return the body of a request as it came.

    Raises :class:`RequestRefused` for a media type that is none of these (all of them JSON), unless
    ``takes`` is true of the request, for more than ``most`` bytes, for more than the ``share`` can
    take, and if the body does not come whole ``within`` that time.
    """
    # Not by aiohttp's properties: the standard library's parser behind them is quadratic.
    content_type = request.headers.get(hdrs.CONTENT_TYPE, "")
    is_known = content_type in media_types or is_one_of(media_types, content_type)
    if not is_known and not (takes and takes(request)):
        raise RequestRefused(Problem.WRONG_MEDIA_TYPE)
    if request.headers.get(hdrs.CONTENT_ENCODING, "identity").lower() not in _CODINGS:
        raise RequestRefused(Problem.WRONG_CODING)
    if (request.content_length or 0) > most:
        raise _too_large(most)
    try:
        if not request.content.is_eof():
            async with asyncio.timeout(within.total_seconds()):
                return await _read(request.content, most, share)
        # It came with the headers: no timer is needed, and it is in memory anyway.
        body = request.content.read_nowait()
    except TimeoutError as error:
        raise RequestRefused(Problem.BODY_TOO_SLOW) from error
    except (web.RequestPayloadError, ConnectionError) as error:
        raise RequestRefused(Problem.BROKEN_BODY) from error
    if len(body) > most:
        raise _too_large(most)
    return body


def parse_object(body: bytes) -> Mapping[str, object]:
    """Return the JSON object that a body is; raise :class:`RequestRefused` for anything else.

    Also for one that is nested deeper than 64 levels, and for more than 1,000 elements together.
    """
    if problem := MARKED if body.startswith(codecs.BOM_UTF8) else depth_error(body):
        raise _not_json(problem)
    try:
        value = msgspec.json.decode(body)
        # A second look, since msgspec takes the last of two fields of one name without a word.
        json.loads(body, object_pairs_hook=_without_repetition)
    except UnicodeDecodeError as error:
        raise _not_json(f"Byte {error.start} is not UTF-8.") from error
    except ValueError as error:
        raise _not_json(f"{error}.") from error
    if not isinstance(value, dict):
        raise RequestRefused(Problem.INVALID_BODY, details=[Detail(WHOLE, "Give an object.")])
    # What has more elements than are worth looking at one by one is named, and looked at no more.
    parts = [(WHOLE, value), *((field_at([name]), part) for name, part in value.items())]
    message = f"There are too many. Give {MAX_ELEMENTS:,} or fewer."
    if too_long := [
        Detail(where, message)
        for where, part in parts
        if isinstance(part, dict | list) and len(part) > MAX_ELEMENTS
    ]:
        raise RequestRefused(Problem.INVALID_BODY, details=too_long)
    return value


async def _read(stream: StreamReader, most: int, share: BodyShare) -> bytes:
    chunks: list[bytes] = []
    size = 0
    while chunk := await stream.readany():
        chunks.append(chunk)
        size += len(chunk)
        if size > most:
            raise _too_large(most)
        share.take(len(chunk))
    return b"".join(chunks)


def is_one_of(media_types: Collection[str], content_type: str) -> bool:
    """Tell whether a content type is one of these, in UTF-8 if it names a character set."""
    media_type, *parameters = content_type.lower().split(";")
    pairs = (parameter.partition("=") for parameter in parameters)
    charsets = {value.strip().strip('"') for name, _, value in pairs if name.strip() == "charset"}
    return media_type.strip() in media_types and charsets <= _UTF_8


def _without_repetition(pairs: list[tuple[str, object]]) -> Mapping[str, object]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        counted = Counter(name for name, _ in pairs)
        twice = next(name for name, count in counted.items() if count > 1)
        message = "This field is there more than once. Give it once."
        raise RequestRefused(Problem.INVALID_BODY, details=[Detail(field_at([twice]), message)])
    return fields


def _too_large(most: int) -> RequestRefused:
    limit = f"{most // _MIB} MiB" if most >= _MIB else f"{most // _KIB} KiB"
    message = f"The body is too large. The most is {limit}."
    return RequestRefused(Problem.BODY_TOO_LARGE, message)


def _not_json(why: str) -> RequestRefused:
    return RequestRefused(Problem.NOT_JSON, Problem.NOT_JSON.value.message, [Detail(WHOLE, why)])
