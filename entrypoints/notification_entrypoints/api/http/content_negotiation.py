"""What a caller takes: media types by ``Accept``, codings by ``Accept-Encoding`` (RFC 9110, 12.5).

Weights count, ``*`` stands for what is not named. A header that says nothing asks for nothing.
"""

import asyncio
import re
import zlib
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Final

from aiohttp import hdrs, web

from notification_entrypoints.api.problems import PROBLEM_DETAILS, Problem, RequestRefused

LARGE = 16 * 1024
"""From this many bytes on a response is worth compressing; for less it only costs time."""

_WEIGHT = re.compile(r"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?")
_CODINGS = {
    web.ContentCoding.gzip: zlib.MAX_WBITS + 16,
    web.ContentCoding.deflate: zlib.MAX_WBITS,
}
"""With zlib's name of their formats."""

_LEVEL = 2
"""A page of a log is 7 % larger than at the usual level, and takes less than half of the time."""

_ANY_CODING = "*"

_LONGEST_REMEMBERED: Final = 256
"""Whoever says more has it read each time: what is remembered is bounded in size as in number."""


def check_accepted(request: web.Request, media_types: Collection[str]) -> None:
    """Raise :class:`RequestRefused` unless a caller takes one of these media types.

    Parameters make no difference.
    """
    weights = _weights(",".join(request.headers.getall(hdrs.ACCEPT, ())))
    for media_type in media_types:
        # The range that names it most closely counts.
        ranges = (media_type, f"{media_type.partition('/')[0]}/*", "*/*", "*")
        if next((weights[name] for name in ranges if name in weights), 0) > 0:
            return
    if weights:
        raise RequestRefused(Problem.NOT_ACCEPTABLE)


def accepts_problem_details(request: web.Request) -> bool:
    """Tell whether a caller names the media type of RFC 9457: wildcards keep the 1.0 shape."""
    weights = _weights(",".join(request.headers.getall(hdrs.ACCEPT, ())))
    return weights.get(PROBLEM_DETAILS, 0) > 0


async def compress(response: web.Response, body: bytes, accepted: str) -> None:
    """Compress the body of a response if it is large, or the caller takes nothing else.

    ``accepted`` is what ``Accept-Encoding`` says. A response that has an ETag is left as it is: a
    strong tag names the bytes.
    """
    if hdrs.ETAG in response.headers:
        return
    weights, size = _weights(accepted), len(body)
    plain = weights.get("identity", weights.get(_ANY_CODING))
    if size >= LARGE:
        response.headers[hdrs.VARY] = hdrs.ACCEPT_ENCODING
    elif plain != 0 or not size:
        return
    offered = {
        coding: weights.get(coding.value, weights.get(_ANY_CODING, 0)) for coding in _CODINGS
    }
    best = max(_CODINGS, key=offered.__getitem__)
    if offered[best] > 0 and offered[best] >= weights.get("identity", 0):
        response.headers[hdrs.CONTENT_ENCODING] = best.value
        # In a thread, which needs the interpreter only to begin and to end.
        response.body = await asyncio.to_thread(zlib.compress, body, _LEVEL, _CODINGS[best])


def _weights(text: str) -> Mapping[str, float]:
    """Return what a header names, each with its weight."""
    return _remembered(text) if len(text) <= _LONGEST_REMEMBERED else _weights_in(text)


def _weights_in(text: str) -> Mapping[str, float]:
    named: dict[str, float] = {}
    for item in text.split(","):
        what, *parameters = (part.strip().lower() for part in item.split(";"))
        weights = (text.removeprefix("q=") for text in parameters if text.startswith("q="))
        # A weight that is none is skipped.
        weight = next((float(text) for text in weights if _WEIGHT.fullmatch(text)), 1)
        if what:
            named[what] = max(named.get(what, 0), weight)
    return named


# A caller says the same at each request, and so do most callers.
_remembered = lru_cache(maxsize=128)(_weights_in)
