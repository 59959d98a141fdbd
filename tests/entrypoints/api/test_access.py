"""Who may do what: every operation of the document, asked by everybody who may not."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest

from notification_core.model.caller import Scope
from notification_entrypoints.api.openapi.document import access_rule_of
from tests.entrypoints.api_callers import (
    BOOTSTRAP,
    EVENT_ID,
    OPERATIONS,
    Guarded,
    Operation,
    bearer,
    expiring,
    guarded,
    scopeless,
)
from tests.entrypoints.api_examples import ANOTHER, ENVIRONMENT, FULL
from tests.entrypoints.checked_api import ApiResponse

PUBLIC = {"getJwks", "getOpenApi"}
GUARDED = [each for each in OPERATIONS if each.name not in PUBLIC]

LAST = {"replayDeadLetter": 1, "eraseEnvironment": 2, "getErasure": 3}
IN_GOOD_ORDER = sorted(
    GUARDED,
    key=lambda each: (LAST.get(each.name, 0), each.method == "DELETE", -each.path.count("/")),
)
"""What is deleted is deleted last, the smaller before the larger, and everything in the end."""


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Guarded]:
    async with guarded(tmp_path, scopeless()) as opened:
        yield opened


async def test_a_reader_sees_no_header_value_and_a_writer_those_that_are_not_secret(
    door: Guarded,
) -> None:
    webhooks = f"/environments/{ENVIRONMENT}/webhooks"
    writer = {"Authorization": bearer(await door.key(scope=Scope.WRITE))}
    reader = {"Authorization": bearer(await door.key(scope=Scope.READ))}
    created = await door.api.call("POST", webhooks, json=FULL, headers=writer)
    path = f"/webhooks/{created.json['webhook_id']}"
    for_writers = {"Authorization": "***", "X-Tenant": "north"}
    for headers, seen in ((writer, for_writers), (reader, dict.fromkeys(for_writers, "***"))):
        assert (await door.api.get(path, headers=headers)).json["custom_headers"] == seen
        listed = await door.api.get(webhooks, headers=headers)
        assert listed.json[-1]["custom_headers"] == seen
    read = (await door.api.get(path, headers=reader)).json
    put = await door.api.call("PUT", path, json=read, headers=writer)
    assert put.json["custom_headers"] == for_writers
    stored = await door.stage.storage.webhooks.get(UUID(ENVIRONMENT), UUID(read["webhook_id"]))
    assert stored.custom_headers == FULL["custom_headers"]


Credential = Callable[[Guarded], Awaitable[str | None]]


async def none(_: Guarded) -> str | None:
    return None


async def another_scheme(door: Guarded) -> str:
    return f"Basic {await door.key()}"


async def no_credential_at_all(_: Guarded) -> str:
    return "Bearer "


async def one_of_no_kind(_: Guarded) -> str:
    return "Bearer nonsense"


async def one_of_strange_letters(_: Guarded) -> str:
    return "Bearer \u00e9\u00e9"


async def unknown(door: Guarded) -> str:
    key = await door.key()
    return bearer(key.replace(key[4:36], UUID(int=7).hex))


async def wrong(door: Guarded) -> str:
    key = await door.key()
    return bearer(key[:-1] + ("A" if key[-1] != "A" else "B"))


async def expired(door: Guarded) -> str:
    key = await door.key(**expiring(timedelta(milliseconds=1)))
    while (await door.call(GUARDED[0], bearer(key))).status == 200:
        pass
    return bearer(key)


async def revoked(door: Guarded) -> str:
    return bearer(await door.revoked_key())


REFUSED = [
    none,
    another_scheme,
    no_credential_at_all,
    one_of_no_kind,
    one_of_strange_letters,
    unknown,
    wrong,
    expired,
    revoked,
]


def told(operation: Operation, response: ApiResponse) -> str:
    return f"{operation.name}: {response.status} {response.json}"


@pytest.mark.parametrize("credential", REFUSED)
async def test_without_a_good_credential_no_operation_tells_or_does_anything(
    door: Guarded, credential: Credential
) -> None:
    sent = await credential(door)
    before = door.everything()
    for operation in GUARDED:
        response = await door.call(operation, sent)
        assert response.status == 401, told(operation, response)
        assert response.headers["WWW-Authenticate"].startswith("Bearer ")
    assert door.everything() == before


async def test_another_environments_things_are_as_if_they_were_not(door: Guarded) -> None:
    key = bearer(await door.key(environments=frozenset({UUID(ANOTHER)})))
    before = door.everything()
    for operation in GUARDED:
        if operation.environments != "any":
            response = await door.call(operation, key)
            expected = 403 if operation.environments == "all" else 404
            assert response.status == expected, told(operation, response)
    assert door.everything() == before


async def test_another_environments_things_cannot_be_told_from_those_that_are_not(
    door: Guarded,
) -> None:
    key = bearer(await door.key(environments=frozenset({UUID(ANOTHER)})))
    nobodys = str(UUID(int=7))
    for operation in GUARDED:
        if "{webhook_id}" in operation.path or "{delivery_id}" in operation.path:
            theirs = await door.call(operation, key)
            missing = await door.call(operation, key, webhook_id=nobodys, delivery_id=nobodys)
            names = {theirs.json["message"].replace(door.ids[name], nobodys) for name in door.ids}
            assert missing.json["message"] in names
            assert missing.json["error_code"] == theirs.json["error_code"]


async def test_too_small_a_scope_is_refused_by_its_name(door: Guarded) -> None:
    before = door.everything()
    smaller = {Scope.READ: bearer("scopeless")}
    smaller[Scope.WRITE] = bearer(await door.key(scope=Scope.READ))
    smaller[Scope.ADMIN] = bearer(await door.key(scope=Scope.WRITE))
    before = door.everything()
    for operation in GUARDED:
        assert operation.scope
        response = await door.call(operation, smaller[operation.scope])
        assert response.status == 403, told(operation, response)
        assert f"the scope {operation.scope};" in response.json["message"]
        assert f'scope="{operation.scope}"' in response.headers["WWW-Authenticate"]
    assert door.everything() == before


async def test_with_just_the_scope_and_the_environment_everything_is_answered(
    door: Guarded,
) -> None:
    # The walk above would prove nothing if its requests were refused for another reason.
    for operation in IN_GOOD_ORDER:
        own = None if operation.environments == "all" else frozenset({UUID(ENVIRONMENT)})
        key = await door.key(scope=operation.scope, environments=own)
        response = await door.call(operation, bearer(key))
        assert response.status not in {401, 403, 404}, told(operation, response)


async def test_what_is_public_is_public_and_nothing_else(door: Guarded) -> None:
    assert {each.name for each in OPERATIONS if each.scope is None} == PUBLIC
    for operation in OPERATIONS:
        if operation.name in PUBLIC:
            assert (await door.call(operation, None)).status == 200
            assert (await door.call(operation, "Bearer nonsense")).status == 200


async def test_what_is_read_in_one_environment_tells_nothing_of_the_other(door: Guarded) -> None:
    key = bearer(await door.key())
    for operation in GUARDED:
        if operation.method == "GET" and "{environment_id}" in operation.path:
            response = await door.call(operation, key, environment_id=ANOTHER)
            assert response.status in {200, 404}
            secrets = {door.ids["webhook_id"], door.ids["delivery_id"], EVENT_ID}
            assert not [each for each in secrets if each in str(response.json)], operation.name


async def test_causes_of_errors_are_shown_to_administrators_only(tmp_path: Path) -> None:
    path = f"/environments/{ENVIRONMENT}/webhooks?colour=blue"
    async with guarded(tmp_path, scopeless(), debug=True) as door:
        others = [
            None,
            "Basic x",
            bearer("nonsense"),
            bearer("scopeless"),
            bearer(await door.revoked_key()),
            bearer(await door.key(scope=Scope.WRITE)),
            bearer(await door.key(environments=frozenset({UUID(ENVIRONMENT)}))),
        ]
        for credential in others:
            headers = {} if credential is None else {"Authorization": credential}
            for method, each in (("GET", path), ("POST", path), ("GET", "/nowhere")):
                response = await door.api.call(method, each, headers=headers)
                assert response.status >= 400
                assert not response.json["stacktrace"]
                assert not response.json["internal_message"]
        response = await door.api.get(path, headers={"Authorization": bearer(await door.key())})
        assert any("requests.py" in line for line in response.json["stacktrace"])


async def test_a_head_is_asked_for_what_a_get_is(door: Guarded) -> None:
    path = f"/environments/{ENVIRONMENT}/webhooks"
    assert (await door.api.session.head(f"{door.api.url}/api{path}")).status == 401


async def test_no_body_is_read_of_somebody_who_may_not_send_it(door: Guarded) -> None:
    path = f"/environments/{ENVIRONMENT}/events"
    response = await door.api.call("POST", path, data=b"{" * 1000)
    assert response.status == 401


async def test_the_bootstrap_key_opens_everything(door: Guarded) -> None:
    for operation in IN_GOOD_ORDER:
        response = await door.call(operation, bearer(BOOTSTRAP))
        assert response.status not in {401, 403, 404}, told(operation, response)


@pytest.mark.parametrize(
    ("operation", "path"),
    [
        ({}, "/environments/{environment_id}/x"),
        ({"security": [{}]}, "/environments/{environment_id}/x"),
        ({"security": [{"bearer": ["read"]}, {}]}, "/environments/{environment_id}/x"),
        ({"security": [{"bearer": ["read"], "other": []}]}, "/environments/{environment_id}/x"),
        ({"security": [{"bearer": ["read", "write"]}]}, "/environments/{environment_id}/x"),
        ({"security": [{"bearer": ["read"]}]}, "/things/{thing_id}"),
        ({"security": [{"bearer": ["read"]}], "x-environments": "some"}, "/things"),
        ({"security": [{"bearer": ["read"]}], "x-environments": "any"}, "/webhooks/{webhook_id}"),
    ],
)
def test_an_operation_that_does_not_say_who_may_call_it_is_not_served(
    operation: dict[str, object], path: str
) -> None:
    with pytest.raises(LookupError):
        access_rule_of(operation, path)
