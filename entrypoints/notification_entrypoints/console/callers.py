"""Who looks at a page, and whether what they send may change anything.

A customer has a portal session, an operator a console session; where both are there, the smaller
one counts. Where authentication is disabled, nobody needs one.
"""

import asyncio
import hmac
from base64 import urlsafe_b64encode
from typing import Final
from urllib.parse import quote

from aiohttp import hdrs, web

from notification_core.errors import SessionEnded
from notification_core.model.caller import ANYBODY, Caller
from notification_entrypoints.api.edge import is_own_page
from notification_entrypoints.api.endpoint import MAX_BODY_BYTES
from notification_entrypoints.api.http.requests import BodyShare
from notification_entrypoints.api.problems import Problem, RequestRefused
from notification_entrypoints.bootstrap.application import Application
from notification_entrypoints.console.cookies import console_token, portal_token
from notification_entrypoints.console.keys import APPLICATION, MEMORY

SIGN_IN: Final = "/console/sign-in"
CSRF_FIELD: Final = "csrf_token"
CSRF_HEADER: Final = "X-CSRF-Token"

_FORM: Final = "application/x-www-form-urlencoded"
_NOT_OURS: Final = "This was not sent by a page of this console, so nothing was done."
_OUTDATED: Final = (
    "The form is not of your present session, so nothing was done. Go back, reload the page and "
    "send it again."
)


async def caller_of(request: web.Request) -> Caller:
    """Return who looks at a page; raise a redirect to the sign-in page for nobody.

    Raises :class:`SessionEnded` for a customer whose session has ended, and
    :class:`StorageUnavailable`.
    """
    application = request.app[APPLICATION]
    if token := portal_token(request):
        return (await application.portal_sessions.find(token)).caller
    if application.credentials is None:
        return ANYBODY
    if token := console_token(request):
        try:
            return (await application.console_sessions.find(token)).caller
        except SessionEnded:
            pass
    raise web.HTTPSeeOther(sign_in_url(request))


def is_portal(request: web.Request) -> bool:
    """Tell whether a customer looks at a page: of one environment, and nothing else."""
    return portal_token(request) is not None


def sign_in_url(request: web.Request) -> str:
    """Return where nobody signs in, and comes back from to the page that was asked for."""
    if request.method != hdrs.METH_GET or request.path == SIGN_IN:
        return SIGN_IN
    return f"{SIGN_IN}?next={quote(request.path_qs, safe='/')}"


def csrf_token(request: web.Request) -> str:
    """Return what the forms of a page send back: it is of the session, and of no other one."""
    return csrf_token_of(request.app[APPLICATION], portal_token(request) or console_token(request))


def csrf_token_of(application: Application, session_token: str | None) -> str:
    """Return what the forms of a session send back; without one, of this installation.

    A page of another origin cannot read it.
    """
    key = application.cursor_key if session_token is None else session_token.encode()
    digest = hmac.digest(key, b"forms of the console/v1", "sha256")
    return urlsafe_b64encode(digest).rstrip(b"=").decode()


async def check_write(request: web.Request) -> None:
    """Raise :class:`RequestRefused` unless a page of ours has sent this, in the same session."""
    application = request.app[APPLICATION]
    if not is_own_page(request, application.settings.console.origin):
        raise RequestRefused(Problem.FOREIGN_PAGE, _NOT_OURS)
    # The body is read within its bounds also where the token is a header.
    field = await _csrf_field(request)
    given = request.headers.get(CSRF_HEADER) or field
    if not hmac.compare_digest(given.encode(errors="replace"), csrf_token(request).encode()):
        raise RequestRefused(Problem.FOREIGN_PAGE, _OUTDATED)


async def _csrf_field(request: web.Request) -> str:
    """Return the field of a form, which is read for whoever handles it, too."""
    if not request.body_exists:
        return ""
    if request.headers.get(hdrs.CONTENT_TYPE, "").partition(";")[0].strip().lower() != _FORM:
        raise RequestRefused(Problem.WRONG_MEDIA_TYPE, f"A form is sent as {_FORM}.")
    # Browsers say how long a form is before they send it.
    length = request.content_length
    if length is None or length > MAX_BODY_BYTES:
        raise RequestRefused(
            Problem.BODY_TOO_LARGE, f"A form is at most {MAX_BODY_BYTES // 1024} KiB."
        )
    share = BodyShare(request.app[MEMORY])
    share.take(length)
    timeout = request.app[APPLICATION].settings.api.server_read_timeout
    try:
        async with asyncio.timeout(timeout.total_seconds()):
            field = (await request.post()).get(CSRF_FIELD, "")
    except TimeoutError as error:
        raise RequestRefused(Problem.BODY_TOO_SLOW) from error
    finally:
        share.release()
    return field if isinstance(field, str) else ""
