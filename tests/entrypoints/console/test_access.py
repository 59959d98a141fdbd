"""Who may see and do what: every route of the console, asked by everybody who may and may not."""

from collections.abc import AsyncIterator, Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import pytest
from aiohttp import hdrs
from attrs import frozen

from notification_adapters.clock import SystemClock
from notification_adapters.memory.credentials import MemoryCredentials
from notification_core.model.caller import Caller, Scope
from notification_entrypoints.api.app import api_app
from notification_entrypoints.bootstrap.application import Application
from notification_entrypoints.bootstrap.sessions import console_sessions
from notification_entrypoints.console.app import PREFIX, add_console
from tests.entrypoints.api_callers import BOOTSTRAP, Guarded, bearer, guarded
from tests.entrypoints.api_examples import ANOTHER, ENVIRONMENT
from tests.entrypoints.api_services import backstage, in_memory
from tests.entrypoints.console.conftest import Console, console_of

_OF = f"{PREFIX}/environments/{{environment_id}}"
_WEBHOOK = f"{_OF}/webhooks/{{webhook_id}}"
_ANY, _ALL = "any", "all"

PUBLIC: Final = {
    f"GET {PREFIX}/sign-in",
    f"POST {PREFIX}/sign-in",
    f"POST {PREFIX}/sign-out",
    f"GET {PREFIX}/portal/{{code}}",
    f"GET {PREFIX}/static/{{name}}",
    f"GET {PREFIX}/logo",
    f"GET {PREFIX}/theme.css",
}
"""What nobody needs a session for: it tells nothing of any environment."""

READ: Final = {
    f"GET {_OF}{path}"
    for path in (
        *("", "/events", "/events/{event_id}", "/deliveries/{delivery_id}", "/publish", "/keys"),
        *("/changes", "/webhooks", "/webhooks/new"),
    )
} | {f"GET {_WEBHOOK}{path}" for path in ("", "/edit", "/replays", "/verification")}

WRITE: Final = {
    f"POST {_OF}/webhooks/new",
    f"POST {_OF}/publish",
    f"POST {_OF}/deliveries/{{delivery_id}}/redeliver",
} | {
    f"POST {_WEBHOOK}{path}"
    for path in (
        *("/edit", "/test", "/enable", "/disable", "/delete", "/replays"),
        *("/replays/{replay_id}/cancel", "/verification/secrets"),
        "/verification/secrets/{secret_id}/revoke",
    )
}

ADMIN: Final = {
    f"POST {_OF}/keys/rotate",
    f"GET {_OF}/audit",
    f"GET {_OF}/erasure",
    f"POST {_OF}/erasure",
}
OPERATOR: Final = {
    f"GET {PREFIX}/audit",
    f"GET {PREFIX}/api-keys",
    f"POST {PREFIX}/api-keys",
    f"POST {PREFIX}/api-keys/{{key_id}}/revoke",
    f"GET {PREFIX}/dead-letters",
    f"GET {PREFIX}/dead-letters/{{letter_id}}",
    f"POST {PREFIX}/dead-letters/{{letter_id}}",
}


@frozen
class Need:
    """What a caller must have: a scope, in the path's environment, in ``any`` or in ``all``."""

    scope: Scope
    reach: str = "environment"

    def status_for(self, caller: Caller | None) -> int:
        """Return the status of the response to a caller; 200 for one who may."""
        if caller is None:
            return HTTPStatus.SEE_OTHER
        if self.reach == "environment" and not caller.reaches(UUID(ENVIRONMENT)):
            return HTTPStatus.NOT_FOUND
        is_everywhere = self.reach != _ALL or caller.environments is None
        if not (is_everywhere and self.scope in caller.scopes):
            return HTTPStatus.FORBIDDEN
        return HTTPStatus.OK


MATRIX: Final[Mapping[str, Need]] = {
    f"GET {PREFIX}/": Need(Scope.READ, _ANY),
    **dict.fromkeys(sorted(READ), Need(Scope.READ)),
    **dict.fromkeys(sorted(WRITE), Need(Scope.WRITE)),
    **dict.fromkeys(sorted(ADMIN), Need(Scope.ADMIN)),
    **dict.fromkeys(sorted(OPERATOR), Need(Scope.ADMIN, _ALL)),
}

_MINE, _THEIRS = frozenset({UUID(ENVIRONMENT)}), frozenset({UUID(ANOTHER)})
CALLERS: Final[Mapping[str, Caller | None]] = {
    "nobody": None,
    "stranger": Caller("stranger", Scope.ADMIN, _THEIRS),
    "reader": Caller("reader", Scope.READ, _MINE),
    "writer": Caller("writer", Scope.WRITE, _MINE),
    "administrator": Caller("administrator", Scope.ADMIN, _MINE),
    "operator": Caller("operator", Scope.ADMIN),
}
CUSTOMERS: Final = {
    "stranger": Caller("stranger", Scope.WRITE, _THEIRS),
    "reader": Caller("reader", Scope.READ, _MINE),
    "writer": Caller("writer", Scope.WRITE, _MINE),
}

_DRAFT = {
    "name": "Job results",
    "url": "https://example.com/",
    "method": "post",
    "events": "job-created",
}
FORMS: Final[Mapping[str, Mapping[str, str]]] = {
    f"POST {_OF}/webhooks/new": _DRAFT,
    f"POST {_WEBHOOK}/edit": _DRAFT,
    f"POST {_OF}/publish": {"event": "job-created", "data": "{}"},
    f"POST {_WEBHOOK}/replays": {"since": "2020-01-01T00:00:00Z", "states": "failed"},
    f"POST {PREFIX}/api-keys": {"name": "x", "scope": "read", "reach": "all"},
}
"""What each form sends, so that nothing else is wrong with it."""


def routes_of(application: Application) -> Sequence[str]:
    """Return what the console serves, as its method and its path."""
    app = api_app(application)
    add_console(app, application)
    found = []
    for route in app.router.routes():
        path = route.resource.canonical if route.resource else ""
        if path.startswith(f"{PREFIX}/") and route.method != hdrs.METH_HEAD:
            found.append(f"{route.method} {path}")
    return found


async def test_every_route_says_here_who_may_ask_it(tmp_path: Path) -> None:
    async with backstage(in_memory(tmp_path)) as stage:
        assert sorted(routes_of(stage.application)) == sorted({*MATRIX, *PUBLIC})


@frozen
class Door:
    """A console that asks who looks at it, with something of everything behind it."""

    api: Guarded
    console: Console
    webhook_name: str

    async def enter(self, name: str, caller: Caller | None, *, as_customer: bool) -> None:
        """Begin a session of a caller."""
        if as_customer:
            assert caller
            assert caller.environments
            (environment_id,) = caller.environments
            made = await self.api.api.call(
                "POST",
                f"/environments/{environment_id}/portal-sessions",
                json={"scope": caller.scope, "name": name},
                headers={"Authorization": bearer(BOOTSTRAP)},
            )
            code = made.json["url"].rpartition("/")[2]
            assert (await self.console.get(f"{PREFIX}/portal/{code}")).status == HTTPStatus.OK
        elif caller is not None:
            assert (await self.console.post("/sign-in", credential=name)).status == HTTPStatus.OK

    async def ask(self, route: str) -> tuple[int, str]:
        """Ask a route as a page of ours does; return the status and where it leads to."""
        method, _, path = route.partition(" ")
        for name, value in self.api.ids.items():
            path = path.replace(f"{{{name}}}", value)
        assert "{" not in path, f"The walk has nothing to put into {path}."
        confirm = ENVIRONMENT if path.endswith("/erasure") else self.webhook_name
        form = {**FORMS.get(route, {}), "confirm": confirm}
        options: dict[str, Any] = {"allow_redirects": False}
        if method == hdrs.METH_POST:
            options["data"] = {"csrf_token": self.console.csrf_token, **form}
            options["headers"] = {"Origin": self.console.url}
        async with self.console.session.request(
            method, f"{self.console.url}{path}", **options
        ) as response:
            return response.status, response.headers.get(hdrs.LOCATION, "")


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    known = {name: caller for name, caller in CALLERS.items() if caller}
    credentials = [MemoryCredentials(known)]
    async with guarded(tmp_path) as api:
        now = api.stage.application
        sessions = console_sessions(
            now.settings, api.stage.storage, SystemClock(), now.ids, credentials
        )
        application = api.stage.but(credentials=credentials, console_sessions=sessions)
        path, key = f"/webhooks/{api.ids['webhook_id']}", bearer(BOOTSTRAP)
        webhook = await api.api.get(path, headers={"Authorization": key})
        async with console_of(api.stage, application) as console:
            yield Door(api, console, webhook.json["name"])


@pytest.mark.parametrize(
    ("name", "as_customer"), [*((name, False) for name in CALLERS), *((c, True) for c in CUSTOMERS)]
)
async def test_each_route_serves_those_who_may_and_nobody_else(
    door: Door, name: str, *, as_customer: bool
) -> None:
    caller = (CUSTOMERS if as_customer else CALLERS)[name]
    await door.enter(name, caller, as_customer=as_customer)
    expected = {route: need.status_for(caller) for route, need in MATRIX.items()}
    refused = [route for route, status in expected.items() if status != HTTPStatus.OK]
    before = door.api.everything()
    for route in refused:
        status, leads_to = await door.ask(route)
        assert status == expected[route], f"{route} {leads_to}"
        assert caller or leads_to.startswith(f"{PREFIX}/sign-in")
    assert door.api.everything() == before
    # The walk above would prove nothing if its requests were refused for another reason. What is
    # deleted is deleted last, the smaller before the larger.
    served = sorted(expected.keys() - refused, key=_in_good_order)
    for route in served:
        status, leads_to = await door.ask(route)
        assert status in {HTTPStatus.OK, HTTPStatus.SEE_OTHER}, route
        assert not leads_to.startswith(f"{PREFIX}/sign-in"), route


def _in_good_order(route: str) -> tuple[int, str]:
    ends = ("/revoke", "/cancel", "/delete", "{letter_id}", "/erasure")
    return next((n for n, end in enumerate(ends, 1) if route.endswith(end)), 0), route
