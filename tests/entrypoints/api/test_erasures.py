"""Erasing an environment over the API."""

from uuid import UUID

from tests.entrypoints.api_examples import ANOTHER, DRAFT, ENVIRONMENT, EVENT, create, publish
from tests.entrypoints.api_services import Backstage, log_success
from tests.entrypoints.checked_api import CheckedClient

PATH = f"/environments/{ENVIRONMENT}"


async def erase_all(stage: Backstage) -> None:
    """Do what a dispatching process would."""
    while not (await stage.storage.erasures.advance(UUID(ENVIRONMENT), 100)).is_last:
        pass


async def test_an_environment_is_erased_and_how_far_that_is_can_be_seen(
    api: CheckedClient, stage: Backstage
) -> None:
    webhook = await create(api)
    await create(api, DRAFT, ANOTHER)
    await publish(api, [EVENT, EVENT])
    await log_success(stage)
    assert (await api.get(f"{PATH}/erasure")).json["error_code"] == 1504
    begun = await api.delete(PATH)
    assert (begun.status, begun.json["state"], begun.json["erased"]) == (202, "running", 0)
    where = begun.headers["Location"].removeprefix("/api")
    assert (await api.get(where)).json == begun.json
    assert stage.revisions
    assert (await api.get(f"/webhooks/{webhook['webhook_id']}")).status == 404
    await erase_all(stage)
    ended = (await api.get(where)).json
    # Two events, two deliveries, one attempt, the webhook, and who made it.
    assert (ended["state"], ended["erased"]) == ("completed", 7)
    assert (await api.get(f"{PATH}/webhooks")).json == []
    assert (await api.get(f"{PATH}/events")).json == []
    assert len((await api.get(f"/environments/{ANOTHER}/webhooks")).json) == 1


async def test_nothing_new_is_taken_meanwhile_and_all_again_afterwards(
    api: CheckedClient, stage: Backstage
) -> None:
    await api.get(f"{PATH}/settings")
    await api.delete(PATH)
    named = {"Idempotency-Key": "8f14e45f"}
    for path, body in (
        (f"{PATH}/webhooks", DRAFT),
        (f"{PATH}/events", EVENT),
        (f"{PATH}/events", [EVENT, EVENT]),
        (f"{PATH}/settings/verification-keys", {}),
    ):
        for headers in ({}, named):
            refused = await api.call("POST", path, json=body, headers=headers)
            assert (refused.status, refused.json["error_code"]) == (409, 1503)
    await erase_all(stage)
    assert (await publish(api, EVENT)).status == 202
    await create(api)


async def test_asked_for_again_it_is_the_same_until_it_has_ended(
    api: CheckedClient, stage: Backstage
) -> None:
    first = (await api.delete(PATH)).json
    assert (await api.delete(PATH)).json == first
    await erase_all(stage)
    second = await api.delete(PATH)
    assert (second.status, second.json["state"]) == (202, "running")
    assert second.json["requested_at"] > first["requested_at"]
