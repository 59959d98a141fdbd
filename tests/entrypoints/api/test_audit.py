"""The audit log over the API: every change of every operation, once, and nothing else."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from notification_core.model.caller import Scope
from tests.entrypoints.api.test_access import IN_GOOD_ORDER
from tests.entrypoints.api_callers import BOOTSTRAP, Guarded, Operation, bearer, guarded
from tests.entrypoints.api_examples import ANOTHER, DRAFT, ENVIRONMENT, EVENT

ADMIN = {"Authorization": bearer(BOOTSTRAP)}
AUDIT = f"/environments/{ENVIRONMENT}/audit"
NO_CHANGES = {"publishEvents", "tryFilter"}
CHANGES = [each for each in IN_GOOD_ORDER if each.method != "GET" and each.name not in NO_CHANGES]
"""Events are no changes: each is stored itself. A trial stores nothing."""


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Guarded]:
    async with guarded(tmp_path) as opened:
        yield opened


async def entries(door: Guarded, path: str = AUDIT) -> list[dict[str, Any]]:
    response = await door.api.get(f"{path}?limit=100", headers=ADMIN)
    assert response.status == 200
    return list(response.json)


SUBJECTS = {
    "deleteWebhook": "webhook_id",
    "changeWebhook": "webhook_id",
    "testWebhook": "webhook_id",
    "retryDelivery": "delivery_id",
    "cancelReplay": "replay_id",
    "revokeApiKey": "key_id",
    "replayDeadLetter": "letter_id",
    "eraseEnvironment": "environment_id",
}


@pytest.mark.parametrize("operation", CHANGES, ids=lambda each: each.name)
async def test_an_operation_that_changes_something_is_told_of_by_who_did_it(
    door: Guarded, operation: Operation
) -> None:
    if operation.name == "startReplay":
        # A webhook has one that runs at a time.
        running = f"/webhooks/{door.ids['webhook_id']}/replays/{door.ids['replay_id']}"
        await door.api.call("DELETE", running, headers=ADMIN)
    everywhere = operation.environments == "all"
    own = None if everywhere else frozenset({UUID(ENVIRONMENT)})
    # Of an environment that is erased nothing is left: it is told of among what is nobody's.
    nobodys = everywhere or operation.name == "eraseEnvironment"
    where = "/audit" if nobodys else AUDIT
    key = await door.key(scope=operation.scope, environments=own)
    before = await entries(door, where)
    response = await door.call(operation, bearer(key))
    assert response.status < 300, response.json
    (entry,) = [each for each in await entries(door, where) if each not in before]
    assert entry["action"] == operation.name
    assert entry["actor"] == f"key:{UUID(key[4:36])}"
    assert entry["address"] == "127.0.0.1"
    assert entry["request_id"] == response.headers["X-Request-Id"]
    assert entry.get("environment_id") == (None if nobodys else ENVIRONMENT)
    assert entry["subject"] == door.ids.get(SUBJECTS.get(operation.name, ""), entry["subject"])


async def test_the_first_key_that_reading_settings_makes_is_told_of_once(door: Guarded) -> None:
    path = f"/environments/{ANOTHER}/settings"
    read, again = [await door.api.get(path, headers=ADMIN) for _ in range(2)]
    assert (read.status, again.json) == (200, read.json)
    (entry,) = await entries(door, f"/environments/{ANOTHER}/audit")
    assert (entry["action"], entry["actor"]) == ("getSettings", "bootstrap")
    assert entry["subject"] == read.json["public_verification_key"]["id"]


async def test_what_is_read_published_refused_or_left_as_it_was_is_not_told_of(
    door: Guarded,
) -> None:
    webhook = f"/webhooks/{door.ids['webhook_id']}"
    before = await entries(door)
    await door.api.call("POST", f"/environments/{ENVIRONMENT}/events", json=EVENT, headers=ADMIN)
    stored = (await door.api.get(webhook, headers=ADMIN)).json
    await door.api.call("PUT", webhook, json=stored, headers=ADMIN)
    await door.api.call("PUT", webhook, json={**DRAFT, "url": "ftp://x"}, headers=ADMIN)
    await door.api.call("DELETE", webhook, headers={**ADMIN, "If-Match": '"7"'})
    await door.api.call("DELETE", webhook)
    assert await entries(door) == before


async def test_a_repeated_request_is_logged_once(door: Guarded) -> None:
    before = await entries(door)
    headers = {**ADMIN, "Idempotency-Key": "once"}
    path = f"/environments/{ENVIRONMENT}/webhooks"
    made, again = [await door.api.call("POST", path, json=DRAFT, headers=headers) for _ in range(2)]
    assert (made.status, again.json) == (201, made.json)
    (new,) = [each for each in await entries(door) if each not in before]
    assert (new["action"], new["subject"]) == ("createWebhook", made.json["webhook_id"])


async def test_the_log_is_read_page_by_page(door: Guarded) -> None:
    for number in range(3):
        webhook = f"/webhooks/{door.ids['webhook_id']}"
        await door.api.call("PATCH", webhook, json={"name": f"{number}"}, headers=ADMIN)
    whole, path = await entries(door), f"{AUDIT}?limit=2"
    read: list[dict[str, Any]] = []
    while path:
        page = await door.api.get(path, headers=ADMIN)
        read += page.json
        path = page.headers.get("Link", "").partition(">")[0].removeprefix("</api")
    assert read == whole
    assert [each["at"] for each in read] == sorted((each["at"] for each in read), reverse=True)


async def test_only_an_administrator_reads_it_and_only_that_of_their_environments(
    door: Guarded,
) -> None:
    theirs = await door.key(scope=Scope.ADMIN, environments=frozenset({UUID(ANOTHER)}))
    writer = await door.key(scope=Scope.WRITE)
    for key, path, status in (
        (theirs, AUDIT, 404),
        (theirs, "/audit", 403),
        (theirs, f"/environments/{ANOTHER}/audit", 200),
        (writer, AUDIT, 403),
    ):
        response = await door.api.get(path, headers={"Authorization": bearer(key)})
        assert response.status == status


async def test_no_entry_holds_a_secret(door: Guarded) -> None:
    headers = {"Authorization": "Bearer 5f1d7a"}
    webhook = f"/webhooks/{door.ids['webhook_id']}"
    await door.api.call("PATCH", webhook, json={"custom_headers": headers}, headers=ADMIN)
    draft = {"name": "k", "scope": "read", "environments": "all"}
    made = await door.api.call("POST", "/keys", json=draft, headers=ADMIN)
    told = str(await entries(door)) + str(await entries(door, "/audit"))
    assert "5f1d7a" not in told
    assert made.json["key"][-43:] not in told
    assert BOOTSTRAP not in told
