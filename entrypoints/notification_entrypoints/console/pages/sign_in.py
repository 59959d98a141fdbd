"""Signing in and out, and the link that opens the portal for a customer."""

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from http import HTTPStatus
from typing import Final

from aiohttp import hdrs, web

from notification_core.errors import (
    CredentialRefused,
    PortalCodeRefused,
    SessionEnded,
)
from notification_core.model.console_session import ConsoleSession
from notification_core.model.request_records import AuditEntry
from notification_entrypoints.api.audit_trail import REQUEST
from notification_entrypoints.api.problems import RequestRefused
from notification_entrypoints.api.security.authentication import CALLERS
from notification_entrypoints.bootstrap.application import Application
from notification_entrypoints.config.parsers import Authentication
from notification_entrypoints.console.callers import SIGN_IN, csrf_token
from notification_entrypoints.console.cookies import (
    console_token,
    forget_tokens,
    keeps_sessions,
    set_console_token,
    set_portal_token,
)
from notification_entrypoints.console.keys import APPLICATION
from notification_entrypoints.console.rendering import html_response
from notification_entrypoints.console.theme import THEME

routes = web.RouteTableDef()

_FIRST_PAGE: Final = "/console/"
_UNKEPT: Final = (
    "A browser keeps no session over plain http. Use https; if a reverse proxy has it, add that to "
    "API_TRUSTED_PROXIES."
)
_NO_HEADERS: Final[Mapping[str, str]] = {}


@routes.get("/sign-in", name="sign_in")
async def ask(request: web.Request) -> web.StreamResponse:
    """Ask for a credential."""
    if request.app[APPLICATION].credentials is None:
        raise web.HTTPSeeOther(_FIRST_PAGE)
    return _form(request, _next(request.query.get("next", "")))


@routes.post("/sign-in", name="check_sign_in")
async def sign_in(request: web.Request) -> web.StreamResponse:
    """Begin a session with a credential that is good, and go on to the page that was asked for."""
    application, callers = request.app[APPLICATION], request.app[CALLERS]
    if application.credentials is None:
        raise web.HTTPSeeOther(_FIRST_PAGE)
    form = await request.post()
    credential, where = (str(form.get(name, "")).strip() for name in ("credential", "next"))
    where = _next(where)
    if not keeps_sessions(request):
        return _form(request, where, _UNKEPT, HTTPStatus.BAD_REQUEST)
    try:
        grant = await callers.grant(request, credential)
        callers.count(request, grant.caller)
        made = await application.console_sessions.create(
            grant, lambda session: [_entry(request, application, session, "signIn")]
        )
    except CredentialRefused as error:
        return _form(request, where, str(error), HTTPStatus.FORBIDDEN)
    except RequestRefused as error:
        status = error.problem.value.http_code
        return _form(request, where, str(error), status, error.headers)
    # This browser has one session: nobody would end the earlier one any more.
    await _end_session(request, application)
    response = web.Response(status=HTTPStatus.SEE_OTHER, headers={hdrs.LOCATION: where})
    # Whoever was a customer here is no customer any more.
    forget_tokens(request, response)
    lasts = _seconds(application, made.session.expires_at)
    set_console_token(request, response, made.token, lasts)
    return response


@routes.post("/sign-out", name="sign_out")
async def sign_out(request: web.Request) -> web.StreamResponse:
    """End the session at once, not only in this browser."""
    await _end_session(request, request.app[APPLICATION])
    response = web.Response(status=HTTPStatus.SEE_OTHER, headers={hdrs.LOCATION: SIGN_IN})
    forget_tokens(request, response)
    return response


@routes.get("/portal/{code}", name="portal", allow_head=False)
async def open_portal(request: web.Request) -> web.StreamResponse:
    """Exchange a one-time code for a session, and go on to its environment."""
    application = request.app[APPLICATION]
    try:
        opened = await application.portal_sessions.exchange(request.match_info["code"])
    except PortalCodeRefused as error:
        # Counted and logged as any other credential that is refused, and never quoted.
        refused = request.app[CALLERS].refusal(request, str(error))
        raise (refused if hdrs.RETRY_AFTER in refused.headers else error) from error
    overview = request.app.router["overview"]
    location = overview.url_for(environment_id=str(opened.session.environment_id))
    response = web.Response(status=HTTPStatus.SEE_OTHER, headers={hdrs.LOCATION: str(location)})
    lasts = _seconds(application, opened.session.expires_at)
    set_portal_token(response, opened.secret_text, lasts)
    return response


def _form(
    request: web.Request,
    where: str,
    error: str = "",
    status: int = HTTPStatus.OK,
    headers: Mapping[str, str] = _NO_HEADERS,
) -> web.Response:
    kinds = {Authentication.API_KEY: "API key", Authentication.JWT: "JSON Web Token"}
    accepted = request.app[APPLICATION].settings.api.auth
    context = {
        "asked_for": " or ".join(kinds[kind] for kind in accepted if kind in kinds),
        "csrf_token": csrf_token(request),
        "next": where,
        "error": error,
    }
    theme = request.app[THEME]
    return html_response(theme, "sign_in.html", context, status=status, headers=headers)


async def _end_session(request: web.Request, application: Application) -> None:
    """End the session that a browser has, if it has one."""
    if token := console_token(request):
        with suppress(SessionEnded):
            session = await application.console_sessions.find(token)
            records = [_entry(request, application, session, "signOut")]
            await application.console_sessions.end(session, records)


def _next(where: str) -> str:
    """Return the page to go on to: one of ours, or the first one."""
    leads_away = "\\" in where or "//" in where or ".." in where or not where.isprintable()
    return where if where.startswith(_FIRST_PAGE) and not leads_away else _FIRST_PAGE


def _seconds(application: Application, until: datetime) -> int:
    return max(1, int((until - application.clock.now()).total_seconds()))


def _entry(
    request: web.Request, application: Application, session: ConsoleSession, action: str
) -> AuditEntry:
    """Return what the audit log says of a sign-in or a sign-out: it is the installation's."""
    return AuditEntry(
        entry_id=application.ids(),
        at=application.clock.now(),
        actor=session.name,
        address=request.app[CALLERS].address(request),
        action=action,
        subject=str(session.session_id),
        request_id=request[REQUEST],
    )
