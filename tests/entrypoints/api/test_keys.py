"""API keys over the API: made, listed, used and revoked; and who guesses waits."""

import logging
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import pytest

from notification_entrypoints.api.security.authentication import FAILURES_AT_ONCE
from tests.entrypoints.api_callers import BOOTSTRAP, Guarded, bearer, guarded
from tests.entrypoints.api_examples import ANOTHER, ENVIRONMENT, WEBHOOKS
from tests.entrypoints.checked_api import ApiResponse

ADMIN = {"Authorization": bearer(BOOTSTRAP)}
DRAFT = {"name": "Publisher", "scope": "write", "environments": [ENVIRONMENT]}


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Guarded]:
    async with guarded(tmp_path, failures_at_once=FAILURES_AT_ONCE) as opened:
        yield opened


async def make(door: Guarded, **changes: object) -> ApiResponse:
    return await door.api.call("POST", "/keys", json={**DRAFT, **changes}, headers=ADMIN)


async def read(door: Guarded, key: str, environment: str = ENVIRONMENT) -> ApiResponse:
    path = f"/environments/{environment}/webhooks"
    return await door.api.get(path, headers={"Authorization": bearer(key)})


async def test_a_new_key_opens_its_environment_and_is_never_shown_again(door: Guarded) -> None:
    made = await make(door)
    assert made.status == 201
    assert (await read(door, made.json["key"])).status == 200
    assert (await read(door, made.json["key"], ANOTHER)).status == 404
    listed = (await door.api.get("/keys", headers=ADMIN)).json[0]
    assert listed == {name: value for name, value in made.json.items() if name != "key"}
    secret = made.json["key"][-43:]
    assert not [row for row in door.everything() if secret in row]


async def test_a_key_for_all_environments_says_so(door: Guarded) -> None:
    made = await make(door, environments="all")
    assert made.json["environments"] == "all"
    assert (await read(door, made.json["key"], ANOTHER)).status == 200


async def test_keys_are_listed_page_by_page(door: Guarded) -> None:
    names = [f"key {number}" for number in range(5)]
    for name in names:
        await make(door, name=name)
    listed, path = [], "/keys?limit=2"
    while path:
        page = await door.api.get(path, headers=ADMIN)
        listed += [key["name"] for key in page.json]
        link = page.headers.get("Link", "")
        path = link.partition(">")[0].removeprefix("</api")
    assert listed[:5] == names[::-1]


async def test_a_revoked_key_is_rejected_at_once_and_stays_in_the_list(door: Guarded) -> None:
    made = (await make(door)).json
    assert (await read(door, made["key"])).status == 200
    for _ in range(2):
        gone = await door.api.call("DELETE", f"/keys/{made['key_id']}", headers=ADMIN)
        assert gone.status == 204
    refused = await read(door, made["key"])
    assert (refused.status, refused.json["error_code"]) == (401, 1601)
    assert "revoked" in refused.json["message"]
    (listed, *_) = (await door.api.get("/keys", headers=ADMIN)).json
    assert listed["state"] == "revoked"
    assert listed["revoked_at"]


async def test_what_is_no_key_cannot_be_revoked(door: Guarded) -> None:
    response = await door.api.call("DELETE", f"/keys/{UUID(int=7)}", headers=ADMIN)
    assert (response.status, response.json["error_code"]) == (404, 1604)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "\u0000"}, "name"),
        ({"scope": "root"}, "scope"),
        ({"environments": []}, "environments"),
        ({"environments": "some"}, "environments"),
        ({"environments": ["mine"]}, "environments[0]"),
        ({"environments": None}, "environments"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"key": "mine"}, "key"),
    ],
)
async def test_a_key_that_makes_no_sense_is_not_made(
    door: Guarded, changes: dict[str, object], field: str
) -> None:
    refused = await make(door, **changes)
    assert refused.status == 400
    assert refused.wrong_fields == {field}


async def test_whoever_guesses_waits_and_whoever_does_not_goes_on(door: Guarded) -> None:
    good = (await make(door)).json["key"]
    late = (await make(door)).json["key"]
    assert (await read(door, good)).status == 200
    guesses = [await read(door, f"guess{number}") for number in range(FAILURES_AT_ONCE + 1)]
    assert [response.status for response in guesses] == [401] * FAILURES_AT_ONCE + [429]
    assert guesses[-1].json["error_code"] == 1603
    assert 1 <= int(guesses[-1].headers["Retry-After"]) <= 3
    # The address is the same for all. A key is not held up, whether or not it was seen before.
    assert (await read(door, good)).status == 200
    assert (await read(door, late)).status == 200
    assert (await read(door, BOOTSTRAP)).status == 200


async def test_guesses_at_a_key_do_not_lock_out_its_owner(door: Guarded) -> None:
    owners = (await make(door)).json["key"]
    wrong = owners[:-1] + ("A" if owners[-1] != "A" else "B")
    statuses = [(await read(door, wrong)).status for _ in range(FAILURES_AT_ONCE + 1)]
    assert statuses == [401] * FAILURES_AT_ONCE + [429]
    assert (await read(door, owners)).status == 200


async def test_whoever_guesses_behind_a_good_key_waits_as_well(door: Guarded) -> None:
    good = (await make(door)).json["key"]
    assert (await read(door, good)).status == 200
    other = "A" if good[-1] != "A" else "B"
    statuses = {(await read(door, good[:-1] + other)).status for _ in range(FAILURES_AT_ONCE + 1)}
    assert statuses == {401, 429}
    assert (await read(door, good)).status == 200


async def test_a_refusal_is_logged_with_where_it_came_from_and_never_with_what_was_sent(
    door: Guarded, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    made = (await make(door)).json
    wrong = made["key"][:-1] + ("A" if made["key"][-1] != "A" else "B")
    for guess in ("a-guess", wrong):
        await read(door, guess)
    first, second = [each for each in caplog.records if each.message == "authentication_failed"]
    assert (first.__dict__["address"], first.__dict__["claimed"]) == ("127.0.0.1", [])
    assert second.__dict__["claimed"] == [f"key:{UUID(made['key_id']).hex}"]
    assert "a-guess" not in str(first.__dict__)
    assert wrong[-43:] not in str(second.__dict__)


async def test_without_a_credential_nobody_is_counted(door: Guarded) -> None:
    statuses = {(await door.api.get(WEBHOOKS)).status for _ in range(3 * FAILURES_AT_ONCE)}
    assert statuses == {401}
