"""Entity tags (RFC 9110, section 8.8.3): what a caller has seen of a webhook.

The tag is the webhook's version, and behind a hyphen what it last did where it has done anything:
``"3-5f1d7a…"``. ``If-None-Match`` goes by all of it, since all of it is shown; ``If-Match`` goes
by the version alone, so that an attempt meanwhile keeps nobody from changing what they have read.
"""

import hashlib
import re
from collections.abc import Collection

from aiohttp import hdrs, web

from notification_core.model.read_models import WebhookView

_ANY = "*"
_TAG = re.compile("([0-9]{1,18})(?:-[0-9a-f]{16})?")


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


def expected_versions(request: web.Request) -> Collection[int] | None:
    """Return the versions that ``If-Match`` allows a change of; None where it allows any."""
    if hdrs.IF_MATCH not in request.headers:
        return None
    tags = request.if_match or ()
    if any(tag.value == _ANY for tag in tags):
        return None
    # A weak tag never matches here (RFC 9110, section 13.1.1).
    parts = (_TAG.fullmatch(tag.value) for tag in tags if not tag.is_weak)
    return {int(part[1]) for part in parts if part}


def is_known(request: web.Request, tag: str) -> bool:
    """Tell whether the caller has seen this state already, as ``If-None-Match`` says."""
    tags = request.if_none_match
    return tags is not None and any(other.value in {_ANY, tag} for other in tags)
