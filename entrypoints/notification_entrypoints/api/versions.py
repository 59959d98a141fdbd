"""Entity tags (RFC 9110, section 8.8.3): which version of a webhook a request is about."""

import re
from collections.abc import Collection

from aiohttp import ETag, hdrs, web

_ANY = "*"
_VERSION = re.compile("[0-9]{1,18}")


def tag(response: web.Response, version: int) -> None:
    """Say which version of a webhook an answer shows."""
    response.headers[hdrs.ETAG] = f'"{version}"'


def expected_versions(request: web.Request) -> Collection[int] | None:
    """Return the versions that ``If-Match`` allows a change of; None where it allows any."""
    if hdrs.IF_MATCH not in request.headers:
        return None
    tags = request.if_match or ()
    if any(each.value == _ANY for each in tags):
        return None
    return {int(each.value) for each in tags if _is_version(each)}


def is_known(request: web.Request, version: int) -> bool:
    """Tell whether the caller has this version already, as ``If-None-Match`` says."""
    tags = request.if_none_match
    return tags is not None and any(each.value in {_ANY, str(version)} for each in tags)


def _is_version(each: ETag) -> bool:
    # A weak tag never matches here (RFC 9110, section 13.1.1).
    return not each.is_weak and _VERSION.fullmatch(each.value) is not None
