"""Who looks at a page, and whether what they send may change anything."""

from aiohttp import web

from notification_core.errors import NotificationError
from notification_core.model.caller import ANYBODY, Caller
from notification_entrypoints.console.keys import APPLICATION


class SignInUnavailable(NotificationError):
    """Nobody can sign in yet: the console can be used only where nobody is asked who calls."""


async def caller_of(request: web.Request) -> Caller:
    """Return who looks at a page; raise a redirect to the sign-in page for nobody."""
    if request.app[APPLICATION].credentials is None:
        return ANYBODY
    raise SignInUnavailable(
        "Signing in is not available yet: the console needs API_AUTH=none on a loopback address."
    )


def csrf_token(_: web.Request) -> str:
    """Return what the forms of a page send back."""
    return ""


async def check_write(request: web.Request) -> None:
    """Raise :class:`RequestRefused` unless a form of our own was sent.

    Where nobody is asked who calls, pages of other origins are refused at the edge already.
    """
