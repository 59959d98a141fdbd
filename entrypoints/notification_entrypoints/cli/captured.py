"""A request that was captured: as it went over the wire, or as JSON."""

import base64
import binascii
import codecs
import re
from collections.abc import Iterable

import msgspec
from attrs import frozen
from multidict import CIMultiDict, CIMultiDictProxy

from notification_core.errors import InvalidInput

MAX_BYTES = 4 * 1024 * 1024
"""A request of ours has at most 1 MiB of body; written as base64 in JSON it is longer."""

_HEAD_END = re.compile(rb"\r?\n\r?\n")
_REQUEST_LINE = re.compile(r"[A-Za-z]+ \S+( HTTP/[0-9.]+)?")
_LENGTH = re.compile(r"[0-9]{1,20}")
_FORMS = (
    "Give a request as it went over the wire (headers, an empty line, the body), or as JSON: "
    '{"headers": {"name": "value"}, "body": "…"}, where "body_base64" may take the place of "body".'
)


@frozen
class Captured:
    """The headers and the body of a request."""

    headers: CIMultiDictProxy[str]
    body: bytes


class _Json(msgspec.Struct):
    headers: dict[str, str | list[str]] | list[tuple[str, str]]
    body: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    body_base64: str | msgspec.UnsetType = msgspec.UNSET


def parse_captured(data: bytes) -> Captured:
    """Read a captured request; raises :class:`InvalidInput`, which says the accepted forms."""
    if len(data) > MAX_BYTES:
        raise InvalidInput(f"The request has more than {MAX_BYTES // 1024 // 1024} MiB.")
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise InvalidInput("The request is UTF-16, as its byte order mark says: save it as UTF-8.")
    data = data.removeprefix(codecs.BOM_UTF8)
    return _from_json(data) if data.lstrip().startswith(b"{") else _from_wire(data)


def _from_wire(data: bytes) -> Captured:
    end = _HEAD_END.search(data)
    if end is None:
        raise InvalidInput(f"This is no request: no empty line ends its headers. {_FORMS}")
    lines = data[: end.start()].decode("latin-1").splitlines()
    if lines and _REQUEST_LINE.fullmatch(lines[0]):
        del lines[0]
    headers = _headers(line.partition(":") for line in lines)
    return Captured(headers, _whole_body(headers, data[end.end() :]))


def _headers(fields: Iterable[tuple[str, str, str]]) -> CIMultiDictProxy[str]:
    headers: CIMultiDict[str] = CIMultiDict()
    for name, colon, value in fields:
        if not colon or not name or name != name.strip():
            raise InvalidInput(f"This is no header: {name[:80]!r}. {_FORMS}")
        headers.add(name, value.strip())
    return CIMultiDictProxy(headers)


def _whole_body(headers: CIMultiDictProxy[str], body: bytes) -> bytes:
    """Cut what an editor added behind the body; raise where some of it is missing."""
    length = headers.get("Content-Length", "")
    if not _LENGTH.fullmatch(length):
        return body
    whole = int(length)
    if len(body) < whole:
        said = f"The body is not whole: it has {len(body)} bytes, Content-Length says {whole}."
        raise InvalidInput(said)
    return body[:whole]


def _from_json(data: bytes) -> Captured:
    try:
        request = msgspec.json.decode(data, type=_Json)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"This is no captured request ({error}). {_FORMS}") from error
    given = request.headers.items() if isinstance(request.headers, dict) else request.headers
    fields = (
        (name, ":", value)
        for name, values in given
        for value in (values if isinstance(values, list) else [values])
    )
    return Captured(_headers(fields), _json_body(request))


def _json_body(request: _Json) -> bytes:
    if isinstance(request.body_base64, str):
        try:
            return base64.b64decode(request.body_base64, validate=True)
        except binascii.Error as error:
            raise InvalidInput(f"body_base64 is not base64: {error}.") from error
    if request.body is msgspec.UNSET:
        raise InvalidInput(f"The body is missing. {_FORMS}")
    try:
        return msgspec.json.decode(request.body, type=str).encode()
    except ValueError as error:
        raise InvalidInput(
            "The body must be a string: what was signed is its bytes, and an object that was "
            f"parsed has lost them. {_FORMS}"
        ) from error
