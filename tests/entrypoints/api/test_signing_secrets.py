"""Signing secrets over the API: made or given, shown once, listed, revoked, and signed with."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from notification_adapters.memory.credentials import MemoryCredentials
from notification_core.errors import InvalidSignature
from notification_core.model.caller import Caller, Scope
from notification_core.signing.verification import verify_request
from tests.entrypoints.api_examples import ANOTHER, DRAFT, ENVIRONMENT, WEBHOOKS, create
from tests.entrypoints.api_services import Backstage, in_memory
from tests.entrypoints.checked_api import ApiResponse, CheckedClient, called

GIVEN = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def path_of(webhook: dict[str, Any]) -> str:
    return f"/webhooks/{webhook['webhook_id']}"


async def add(api: CheckedClient, webhook: dict[str, Any], **body: Any) -> ApiResponse:
    return await api.post(f"{path_of(webhook)}/signing-secrets", body)


async def sent(stage: Backstage, api: CheckedClient, webhook: dict[str, Any]) -> dict[str, Any]:
    """Have an example sent; return the headers of the request, and its body below ``""``."""
    assert (await api.post(f"{path_of(webhook)}/test", {})).status == 200
    request = stage.sender.requests[-1]
    return {**dict(request.headers), "": request.body}


def holds(request: dict[str, Any], secret: str) -> bool:
    try:
        verify_request(request[""], request, secret, now=datetime.now(UTC))
    except InvalidSignature:
        return False
    return True


async def test_a_secret_that_is_made_is_shown_once_and_signs_at_once(
    api: CheckedClient, stage: Backstage
) -> None:
    webhook = await create(api)
    made = await add(api, webhook)
    assert made.status == 201
    assert made.json.keys() == {"secret_id", "secret", "created_at"}
    listed = (await api.get(f"{path_of(webhook)}/signing-secrets")).json
    assert listed == [{name: made.json[name] for name in ("secret_id", "created_at")}]
    assert holds(await sent(stage, api, webhook), made.json["secret"])
    assert not holds(await sent(stage, api, webhook), GIVEN)


async def test_a_new_one_leaves_the_one_before_for_a_day_and_ends_older_ones(
    api: CheckedClient, stage: Backstage
) -> None:
    webhook = await create(api)
    secrets = [(await add(api, webhook)).json for _ in range(3)]
    listed = (await api.get(f"{path_of(webhook)}/signing-secrets")).json
    assert [one["secret_id"] for one in listed] == [
        secrets[2]["secret_id"],
        secrets[1]["secret_id"],
    ]
    newest, former = listed
    assert "expires_at" not in newest
    lasts = datetime.fromisoformat(former["expires_at"]) - datetime.fromisoformat(
        newest["created_at"]
    )
    assert lasts.total_seconds() == 24 * 3600
    request = await sent(stage, api, webhook)
    assert [holds(request, one["secret"]) for one in secrets] == [False, True, True]
    entries = request["webhook-signature"].split(" ")
    assert [entry.partition(",")[0] for entry in entries] == ["v1a", "v1", "v1"]


async def test_a_revoked_one_signs_no_more(api: CheckedClient, stage: Backstage) -> None:
    webhook = await create(api)
    first, second = [(await add(api, webhook)).json for _ in range(2)]
    place = f"{path_of(webhook)}/signing-secrets"
    assert (await api.call("DELETE", f"{place}/{second['secret_id']}")).status == 204
    assert [one["secret_id"] for one in (await api.get(place)).json] == [first["secret_id"]]
    request = await sent(stage, api, webhook)
    assert (holds(request, first["secret"]), holds(request, second["secret"])) == (True, False)
    assert (await api.call("DELETE", f"{place}/{first['secret_id']}")).status == 204
    assert "v1," not in (await sent(stage, api, webhook))["webhook-signature"]
    for gone in (first["secret_id"], str(uuid4())):
        refused = await api.call("DELETE", f"{place}/{gone}")
        assert (refused.status, refused.json["error_code"]) == (404, 1207)


async def test_a_repetition_makes_no_other_secret_and_does_not_show_it(api: CheckedClient) -> None:
    webhook = await create(api)
    path, key = f"{path_of(webhook)}/signing-secrets", {"Idempotency-Key": "once"}
    first = await api.call("POST", path, json={"secret": GIVEN}, headers=key)
    again = await api.call("POST", path, json={"secret": GIVEN}, headers=key)
    assert (first.json["secret"], again.status) == (GIVEN, 201)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.json == {name: first.json[name] for name in ("secret_id", "created_at")}
    assert len((await api.get(path)).json) == 1


async def test_the_webhook_itself_neither_changes_nor_shows_a_secret(
    api: CheckedClient, stage: Backstage
) -> None:
    webhook = await create(api)
    before = await api.get(path_of(webhook))
    secret = (await add(api, webhook)).json["secret"]
    after = await api.get(path_of(webhook))
    assert (after.json, after.headers["ETag"]) == (before.json, before.headers["ETag"])
    changed = await api.put(path_of(webhook), webhook | {"name": "Other"})
    assert changed.json["name"] == "Other"
    assert (await api.call("PATCH", path_of(webhook), json={"name": "Third"})).status == 200
    assert holds(await sent(stage, api, webhook), secret)


async def test_what_was_done_is_audited_without_the_secret(
    api: CheckedClient,
) -> None:
    webhook = await create(api)
    made = (await add(api, webhook)).json
    await api.call("DELETE", f"{path_of(webhook)}/signing-secrets/{made['secret_id']}")
    entries = (await api.get(f"/environments/{ENVIRONMENT}/audit")).json[:2]
    assert [(entry["action"], entry["subject"]) for entry in entries] == [
        ("revokeSigningSecret", made["secret_id"]),
        ("createSigningSecret", made["secret_id"]),
    ]
    assert made["secret"] not in str(entries)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"secret": "whsec_c2hvcnQ="}, "secret"),
        ({"secret": GIVEN.removeprefix("whsec_")}, "secret"),
        ({"secret": f"{GIVEN}\n"}, "secret"),
        ({"secret": None}, "secret"),
        ({"secret": 7}, "secret"),
        ({"secret": f"whsec_{'A' * 200}"}, "secret"),
        ({"key": GIVEN}, "key"),
    ],
)
@pytest.mark.parametrize("stage", [in_memory], indirect=True)
async def test_what_is_not_a_secret_is_refused_and_not_repeated(
    api: CheckedClient, body: dict[str, Any], field: str
) -> None:
    webhook = await create(api)
    refused = await add(api, webhook, **body)
    assert (refused.status, [one["field"] for one in refused.json["details"]]) == (400, [field])
    assert not isinstance(body.get("secret"), str) or body["secret"].strip() not in str(
        refused.json
    )


async def test_a_secret_that_is_live_is_not_given_again(api: CheckedClient) -> None:
    webhook = await create(api)
    assert (await add(api, webhook, secret=GIVEN)).status == 201
    refused = await add(api, webhook, secret=GIVEN)
    assert (refused.status, refused.json["details"][0]["field"]) == (400, "secret")
    assert (await add(api, await create(api), secret=GIVEN)).status == 201


async def test_readers_list_and_do_not_change(stage: Backstage) -> None:
    reader = Caller("Anna", Scope.READ)
    stranger = Caller("Ben", Scope.ADMIN, frozenset({UUID(ANOTHER)}))
    credentials = [MemoryCredentials({"w": Caller("W", Scope.WRITE), "r": reader, "s": stranger})]
    async with called(stage.but(credentials=credentials)) as api:

        async def ask(who: str, method: str, path: str, body: Any = None) -> ApiResponse:
            headers = {"Authorization": f"Bearer {who}"}
            return await api.call(method, path, json=body, headers=headers)

        webhook = (await ask("w", "POST", WEBHOOKS, DRAFT)).json
        path = f"{path_of(webhook)}/signing-secrets"
        made = (await ask("w", "POST", path, {})).json
        assert (await ask("r", "GET", path)).status == 200
        assert (await ask("r", "POST", path, {})).status == 403
        assert (await ask("r", "DELETE", f"{path}/{made['secret_id']}")).status == 403
        for method, body in (("GET", None), ("POST", {})):
            assert (await ask("s", method, path, body)).status == 404
        assert (await ask("s", "DELETE", f"{path}/{made['secret_id']}")).status == 404
