"""Portal sessions over the API: made by an administrator, opened once, listed and revoked."""

from datetime import datetime, timedelta
from ipaddress import ip_network
from typing import Any
from uuid import UUID, uuid4

import pytest

from notification_adapters.memory.credentials import MemoryCredentials
from notification_core.errors import PortalCodeRefused, SessionEnded
from notification_core.model.caller import Caller, Scope
from tests.entrypoints.api.test_reading import next_path
from tests.entrypoints.api_examples import ANOTHER, ENVIRONMENT
from tests.entrypoints.api_services import Backstage, in_memory
from tests.entrypoints.checked_api import ApiResponse, CheckedClient, called

SESSIONS = f"/environments/{ENVIRONMENT}/portal-sessions"


async def make(api: CheckedClient, **draft: Any) -> dict[str, Any]:
    made = await api.post(SESSIONS, {"scope": "read", **draft})
    assert made.status == 201
    return dict(made.json)


def code_in(made: dict[str, Any]) -> str:
    return str(made["url"].rpartition("/")[2])


async def test_the_url_of_a_new_session_opens_it_once(api: CheckedClient, stage: Backstage) -> None:
    made = await make(api, scope="write", name="Anna")
    assert made.keys() == {"session_id", "url", "expires_at"}
    assert made["url"].startswith("http://127.0.0.1:")
    assert "/console/portal/" in made["url"]
    portal = stage.application.portal_sessions
    opened = await portal.exchange(code_in(made))
    caller = Caller("portal:Anna", Scope.WRITE, frozenset({UUID(ENVIRONMENT)}))
    assert (await portal.find(opened.secret_text)).caller == caller
    with pytest.raises(PortalCodeRefused):
        await portal.exchange(code_in(made))


async def test_behind_a_proxy_the_url_is_the_one_that_browsers_know(stage: Backstage) -> None:
    proxied = stage.but(settings={"api.trusted_proxies": (ip_network("127.0.0.0/8"),)})
    headers = {"Host": "notify.example.com", "X-Forwarded-Proto": "https"}
    async with called(proxied) as api:
        made = await api.call("POST", SESSIONS, json={"scope": "read"}, headers=headers)
    assert made.json["url"].startswith("https://notify.example.com/console/portal/")


async def test_a_session_lasts_an_hour_or_as_long_as_it_says(api: CheckedClient) -> None:
    for given, lasts in (({}, 1), ({"expires_in": "24h"}, 24), ({"expires_in": "1h30m"}, 1.5)):
        made = await make(api, **given)
        (listed, *_) = (await api.get(SESSIONS)).json
        ends, begins = (datetime.fromisoformat(listed[at]) for at in ("expires_at", "created_at"))
        assert ends - begins == timedelta(hours=lasts)
        assert made["expires_at"] == listed["expires_at"]


async def test_sessions_are_listed_by_page_without_what_opens_them(
    api: CheckedClient, stage: Backstage
) -> None:
    made = [await make(api, name=f"Customer {number}") for number in range(3)]
    await stage.application.portal_sessions.exchange(code_in(made[0]))
    first = await api.get(f"{SESSIONS}?limit=2")
    rest = await api.get(next_path(first) or "")
    listed = [*first.json, *rest.json]
    assert [one["name"] for one in listed] == ["Customer 2", "Customer 1", "Customer 0"]
    assert [one["opened"] for one in listed] == [False, False, True]
    assert all(code_in(one) not in str(listed) for one in made)


async def test_a_revoked_session_ends_at_once(api: CheckedClient, stage: Backstage) -> None:
    made, portal = await make(api), stage.application.portal_sessions
    opened = await portal.exchange(code_in(made))
    path = f"{SESSIONS}/{made['session_id']}"
    assert (await api.delete(path)).status == 204
    with pytest.raises(SessionEnded):
        await portal.find(opened.secret_text)
    assert (await api.get(SESSIONS)).json == []
    for gone in (path, f"{SESSIONS}/{uuid4()}"):
        refused = await api.delete(gone)
        assert (refused.status, refused.json["error_code"]) == (404, 1505)


async def test_what_was_done_is_audited_and_shows_no_secret(
    api: CheckedClient, stage: Backstage
) -> None:
    made = await make(api)
    opened = await stage.application.portal_sessions.exchange(code_in(made))
    await api.delete(f"{SESSIONS}/{made['session_id']}")
    entries = (await api.get(f"/environments/{ENVIRONMENT}/audit")).json[:2]
    assert [(entry["action"], entry["subject"]) for entry in entries] == [
        ("revokePortalSession", made["session_id"]),
        ("createPortalSession", made["session_id"]),
    ]
    for secret in (code_in(made), opened.secret_text):
        assert secret not in str(entries)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, ""),
        ({"scope": "admin"}, "scope"),
        ({"scope": "read", "name": ""}, "name"),
        ({"scope": "read", "name": "x" * 257}, "name"),
        ({"scope": "read", "name": "a\u0000b"}, "name"),
        ({"scope": "read", "expires_in": "0"}, "expires_in"),
        ({"scope": "read", "expires_in": "24h1us"}, "expires_in"),
        ({"scope": "read", "expires_in": "a day"}, "expires_in"),
        ({"scope": "read", "expires_in": 3600}, "expires_in"),
        ({"scope": "read", "expires_at": "2030-01-01T00:00:00Z"}, "expires_at"),
    ],
)
@pytest.mark.parametrize("stage", [in_memory], indirect=True)
async def test_what_a_session_may_not_be_is_refused_at_its_field(
    api: CheckedClient, body: dict[str, Any], field: str
) -> None:
    refused = await api.post(SESSIONS, body)
    assert refused.status == 400
    assert [one["field"] for one in refused.json["details"]] in ([field], ["scope"])
    assert (await api.get(SESSIONS)).json == []


async def test_only_administrators_of_the_environment_open_its_portal(stage: Backstage) -> None:
    here, there = frozenset({UUID(ENVIRONMENT)}), frozenset({UUID(ANOTHER)})
    callers = {
        "admin": Caller("A", Scope.ADMIN, here),
        "writer": Caller("W", Scope.WRITE, here),
        "stranger": Caller("S", Scope.ADMIN, there),
    }
    async with called(stage.but(credentials=[MemoryCredentials(callers)])) as api:

        async def ask(who: str, method: str, path: str, body: Any = None) -> ApiResponse:
            headers = {"Authorization": f"Bearer {who}"}
            return await api.call(method, path, json=body, headers=headers)

        made = (await ask("admin", "POST", SESSIONS, {"scope": "read"})).json
        for who, status in (("writer", 403), ("stranger", 404)):
            assert (await ask(who, "GET", SESSIONS)).status == status
            assert (await ask(who, "POST", SESSIONS, {"scope": "read"})).status == status
            path = f"{SESSIONS}/{made['session_id']}"
            assert (await ask(who, "DELETE", path)).status == status
        assert len((await ask("admin", "GET", SESSIONS)).json) == 1
