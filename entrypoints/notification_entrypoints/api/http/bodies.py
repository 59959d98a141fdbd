"""Reading the body of a request: of the right type, bounded in size, in time and in all together.

Whatever the body holds, reading it takes a time that is linear in its length.
"""

import asyncio
import codecs
import json
from collections import Counter
from collections.abc import Collection, Mapping
from datetime import timedelta

import msgspec
from aiohttp import StreamReader, hdrs, web
from attrs import define

from notification_adapters.event_formats.strict_json import MARKED, depth_error
from notification_core.errors import Detail
from notification_entrypoints.api.openapi.validation_messages import WHOLE, field_at
from notification_entrypoints.api.problems import Problem, RequestRefused

MAX_ELEMENTS = 1_000
"""The most elements of a list, and names of an object, in a body that is not of events."""

_CODINGS = {"identity", "gzip", "deflate"}
_UTF_8 = {"utf-8", "utf8"}
_KIB, _MIB = 1024, 1024 * 1024


@define
class BodyMemory:
    """The memory of a process for the bodies of unfinished requests: ``most`` bytes together."""

    most: int
    used: int = 0

    def share(self) -> "BodyShare":
        """Return the share of one request: nothing yet."""
        return BodyShare(self)


@define
class BodyShare:
    """How many bytes of the memory are one request's, until it releases them."""

    _memory: BodyMemory
    _used: int = 0

    def take(self, size: int) -> None:
        """Take so many bytes more; raise :class:`RequestRefused` if that is too much in total."""
        if self._memory.used + size > self._memory.most:
            raise RequestRefused(Problem.TOO_MUCH_BUFFERED)
        self._memory.used += size
        self._used += size

    def release(self) -> None:
        """Give back all that was taken."""
        self._memory.used -= self._used
        self._used = 0


async def read_body(
    request: web.Request,
    media_types: Collection[str],
    most: int,
    within: timedelta,
    share: BodyShare,
) -> bytes:
    """Return the body of a request as it came.

    Raises :class:`RequestRefused` for a media type that is none of these (all of them JSON), for
    more than ``most`` bytes, for more than the ``share`` can take, and if the body does not come
    whole ``within`` that time.
    """
    _check_media_type(request, media_types)
    if request.headers.get("Content-Encoding", "identity").lower() not in _CODINGS:
        raise RequestRefused(Problem.WRONG_CODING)
    if (request.content_length or 0) > most:
        raise _too_large(most)
    try:
        if request.content.is_eof():
            # It came with the headers: no timer is needed, and it is in memory anyway.
            return await _read(request.content, most, None)
        async with asyncio.timeout(within.total_seconds()):
            return await _read(request.content, most, share)
    except TimeoutError as error:
        raise RequestRefused(Problem.BODY_TOO_SLOW) from error
    except (web.RequestPayloadError, ConnectionError) as error:
        raise RequestRefused(Problem.BROKEN_BODY) from error


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
    if too_long := _too_long(value):
        raise RequestRefused(Problem.INVALID_BODY, details=too_long)
    return value


async def _read(stream: StreamReader, most: int, share: BodyShare | None) -> bytes:
    chunks: list[bytes] = []
    size = 0
    while chunk := await stream.readany():
        chunks.append(chunk)
        size += len(chunk)
        if size > most:
            raise _too_large(most)
        if share is not None:
            share.take(len(chunk))
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _check_media_type(request: web.Request, media_types: Collection[str]) -> None:
    # Not by aiohttp's properties: the standard library's parser behind them is quadratic.
    header = request.headers.get(hdrs.CONTENT_TYPE, "")
    if header in media_types:
        return
    media_type, *parameters = header.lower().split(";")
    pairs = (parameter.partition("=") for parameter in parameters)
    charsets = {value.strip().strip('"') for name, _, value in pairs if name.strip() == "charset"}
    if media_type.strip() not in media_types or not charsets <= _UTF_8:
        raise RequestRefused(Problem.WRONG_MEDIA_TYPE)


def _without_repetition(pairs: list[tuple[str, object]]) -> Mapping[str, object]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        counted = Counter(name for name, _ in pairs)
        twice = next(name for name, count in counted.items() if count > 1)
        message = "This field is there more than once. Give it once."
        raise RequestRefused(Problem.INVALID_BODY, details=[Detail(field_at([twice]), message)])
    return fields


def _too_long(fields: Mapping[str, object]) -> list[Detail]:
    """Return which parts of a body have more elements than are worth looking at one by one."""
    parts = [(WHOLE, fields), *((field_at([name]), value) for name, value in fields.items())]
    message = f"There are too many. Give {MAX_ELEMENTS:,} or fewer."
    return [
        Detail(where, message)
        for where, part in parts
        if isinstance(part, dict | list) and len(part) > MAX_ELEMENTS
    ]


def _too_large(most: int) -> RequestRefused:
    limit = f"{most // _MIB} MiB" if most >= _MIB else f"{most // _KIB} KiB"
    message = f"The body is too large. The most is {limit}."
    return RequestRefused(Problem.BODY_TOO_LARGE, message)


def _not_json(why: str) -> RequestRefused:
    return RequestRefused(Problem.NOT_JSON, Problem.NOT_JSON.value.message, [Detail(WHOLE, why)])
