"""The cookies of the two kinds of sessions, and what they are called.

A customer's is sent from within a frame of another site, but only below that very site (CHIPS).
An operator's is not sent by another site's page, except by following a link.
"""

from typing import Final

from aiohttp import hdrs, web

from notification_entrypoints.api.edge import ORIGIN_POLICY, is_local

PORTAL: Final = "__Host-notification-portal"
_CONSOLE: Final = "__Host-notification-console"
_CONSOLE_ON_LOOPBACK: Final = "notification-console"


def portal_token(request: web.Request) -> str | None:
    """Return the token of a portal session that a request has."""
    return request.cookies.get(PORTAL) or None


def console_token(request: web.Request) -> str | None:
    """Return the token of a console session that a request has."""
    return request.cookies.get(_console_cookie(request)) or None


def set_portal_token(response: web.StreamResponse, token: str, seconds: int) -> None:
    """Have a browser keep a portal session's token for so long."""
    _set(response, PORTAL, token, seconds, "Secure; SameSite=None; Partitioned")


def set_console_token(
    request: web.Request, response: web.StreamResponse, token: str, seconds: int
) -> None:
    """Have a browser keep a console session's token for so long."""
    attributes = "SameSite=Lax" if _is_plain_loopback(request) else "Secure; SameSite=Lax"
    _set(response, _console_cookie(request), token, seconds, attributes)


def forget_tokens(request: web.Request, response: web.StreamResponse) -> None:
    """Have a browser forget the tokens that it has sent."""
    if portal_token(request) is not None:
        set_portal_token(response, "", 0)
    if console_token(request) is not None:
        set_console_token(request, response, "", 0)


def keeps_sessions(request: web.Request) -> bool:
    """Tell whether a browser keeps a cookie of this server: over TLS, or on its own host.

    A browser says ``Sec-Fetch-Site`` only over such a connection; a proxy may not say that it has
    one.
    """
    is_secure = _base_url(request).startswith("https:") or "Sec-Fetch-Site" in request.headers
    return is_secure or is_local(request.host)


def _set(
    response: web.StreamResponse, name: str, token: str, seconds: int, attributes: str
) -> None:
    # Not by the standard library, which knows Partitioned from Python 3.14 on only.
    cookie = f"{name}={token}; Max-Age={seconds}; Path=/; HttpOnly; {attributes}"
    response.headers.add(hdrs.SET_COOKIE, cookie)


def _console_cookie(request: web.Request) -> str:
    # A prefixed name cannot be set by a neighbouring host, but only over TLS.
    return _CONSOLE_ON_LOOPBACK if _is_plain_loopback(request) else _CONSOLE


def _is_plain_loopback(request: web.Request) -> bool:
    return is_local(request.host) and _base_url(request).startswith("http:")


def _base_url(request: web.Request) -> str:
    return request.app[ORIGIN_POLICY].base_url(request)
