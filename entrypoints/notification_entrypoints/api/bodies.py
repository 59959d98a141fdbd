"""Reading the body of a request: of the right type, bounded in size and in time."""

import asyncio
import json
from collections.abc import Collection, Mapping
from datetime import timedelta

import msgspec
from aiohttp import StreamReader, web

from notification_core.errors import Detail
from notification_entrypoints.api.complaints import WHOLE, field_at
from notification_entrypoints.api.problems import Problem, RequestRefused

_CODINGS = {"identity", "gzip", "deflate"}
_UTF_8 = {"utf-8", "utf8"}


async def read_body(
    request: web.Request, media_types: Collection[str], most: int, within: timedelta
) -> bytes:
    """Return the body of a request as it came.

    Raises :class:`RequestRefused` for a media type that is none of these (all of them JSON), for
    more than ``most`` bytes, and where the body does not come whole ``within`` that time.
    """
    _check_media_type(request, media_types)
    if request.headers.get("Content-Encoding", "identity").lower() not in _CODINGS:
        raise RequestRefused(Problem.WRONG_CODING)
    if (request.content_length or 0) > most:
        raise _too_large(most)
    try:
        if request.content.is_eof():
            # It came with the headers: no timer is needed.
            return await _read(request.content, most)
        async with asyncio.timeout(within.total_seconds()):
            return await _read(request.content, most)
    except TimeoutError as error:
        raise RequestRefused(Problem.BODY_TOO_SLOW) from error
    except (web.RequestPayloadError, ConnectionError) as error:
        raise RequestRefused(Problem.BROKEN_BODY) from error


def parse_object(body: bytes) -> Mapping[str, object]:
    """Return the JSON object that a body is; raise :class:`RequestRefused` for anything else."""
    try:
        value = msgspec.json.decode(body)
        # A second look, since msgspec takes the last of two fields of one name without a word.
        json.loads(body, object_pairs_hook=_without_repetition)
    except RecursionError as error:
        raise _not_json("It is nested too deeply.") from error
    except UnicodeDecodeError as error:
        raise _not_json(f"Byte {error.start} is not UTF-8.") from error
    except ValueError as error:
        raise _not_json(f"{error}.") from error
    if not isinstance(value, dict):
        raise RequestRefused(Problem.INVALID_BODY, details=[Detail(WHOLE, "Give an object.")])
    return value


async def _read(stream: StreamReader, most: int) -> bytes:
    chunks: list[bytes] = []
    size = 0
    while chunk := await stream.readany():
        chunks.append(chunk)
        size += len(chunk)
        if size > most:
            raise _too_large(most)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _check_media_type(request: web.Request, media_types: Collection[str]) -> None:
    # The comparison saves parsing the header of nearly every request.
    if request.headers.get("Content-Type") in media_types:
        return
    if (
        request.content_type not in media_types
        or (request.charset or "utf-8").lower() not in _UTF_8
    ):
        raise RequestRefused(Problem.WRONG_MEDIA_TYPE)


def _without_repetition(pairs: list[tuple[str, object]]) -> Mapping[str, object]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in fields if names.count(name) > 1)
        message = "This field is there more than once. Give it once."
        raise RequestRefused(Problem.INVALID_BODY, details=[Detail(field_at([twice]), message)])
    return fields


def _too_large(most: int) -> RequestRefused:
    message = f"The body is too large. The most is {most // 1024 // 1024} MiB."
    return RequestRefused(Problem.BODY_TOO_LARGE, message)


def _not_json(why: str) -> RequestRefused:
    return RequestRefused(Problem.NOT_JSON, Problem.NOT_JSON.value.message, [Detail(WHOLE, why)])
