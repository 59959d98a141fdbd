"""Entity tags (RFC 9110, section 8.8.3): what a caller has seen of a webhook.

The tag is the webhook's version, and behind a hyphen what it last did where it has done anything:
``"3-5f1d7a…"``. ``If-None-Match`` goes by all of it, since all of it is shown; ``If-Match`` goes
by the version alone, so that an attempt meanwhile keeps nobody from changing what they have read.
"""

import hashlib
import re
from collections.abc import Collection

from aiohttp import ETag, hdrs, web
from multidict import CIMultiDictProxy

from notification_core.model.read_models import WebhookView

_ANY = "*"
_TAG = re.compile("([0-9]{1,18})(?:-[0-9a-f]{16})?")
_LISTED = re.compile(r'\s*(W/)?"([!#-}\x80-\xff]*)"\s*(?:,|$)')


def tag_of(view: WebhookView) -> str:
    """Return the tag of a webhook with what it last did."""
    version, activity = view.webhook.version, view.activity
    shown = (activity.last_triggered, activity.last_errored)
    if not any(shown):
        return str(version)
    ids = b"".join(last.log_id.bytes if last else bytes(16) for last in shown)
    return f"{version}-{hashlib.sha256(ids).hexdigest()[:16]}"


def put_tag(response: web.Response, tag: str) -> None:
    """Say which state of a webhook a response shows."""
    response.headers[hdrs.ETAG] = f'"{tag}"'


def tags_in(headers: CIMultiDictProxy[str], name: str) -> Collection[ETag]:
    """Return the tags that ``If-Match`` or ``If-None-Match`` names, up to what is none."""
    text = headers.get(name, "").strip()
    if text == _ANY:
        return [ETag(_ANY)]
    tags = []
    while match := _LISTED.match(text):
        tags.append(ETag(match[2], is_weak=match[1] is not None))
        text = text[match.end() :]
    return tags


def expected_versions(headers: CIMultiDictProxy[str]) -> Collection[int] | None:
    """Return the versions that ``If-Match`` allows a change of; None where it allows any."""
    if hdrs.IF_MATCH not in headers:
        return None
    tags = tags_in(headers, hdrs.IF_MATCH)
    if any(tag.value == _ANY for tag in tags):
        return None
    # A weak tag never matches here (RFC 9110, section 13.1.1).
    parts = (_TAG.fullmatch(tag.value) for tag in tags if not tag.is_weak)
    return {int(part[1]) for part in parts if part}


def is_known(headers: CIMultiDictProxy[str], tag: str) -> bool:
    """Tell whether the caller has seen this state already, as ``If-None-Match`` says."""
    return any(other.value in {_ANY, tag} for other in tags_in(headers, hdrs.IF_NONE_MATCH))
