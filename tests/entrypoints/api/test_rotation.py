"""Rotating the signing key over the API."""

from tests.entrypoints.api_examples import ENVIRONMENT, SETTINGS
from tests.entrypoints.checked_api import CheckedClient

KEYS = f"{SETTINGS}/verification-keys"


async def published(api: CheckedClient) -> list[tuple[str, str]]:
    settings = (await api.get(SETTINGS)).json
    assert settings["public_verification_key"] == settings["verification_keys"][0]
    return [(each["status"], each["id"]) for each in settings["verification_keys"]]


async def test_a_new_key_is_told_and_published_at_once_before_it_signs(api: CheckedClient) -> None:
    ((_, old),) = await published(api)
    response = await api.call("POST", KEYS)
    assert (response.status, response.json["status"]) == (201, "pending")
    assert response.headers["Location"] == f"/api{SETTINGS}"
    assert response.json["created_at"] < response.json["not_before"]
    assert await published(api) == [("active", old), ("pending", response.json["id"])]
    jwks = (await api.get(f"/environments/{ENVIRONMENT}/jwks.json")).json
    assert [key["kid"] for key in jwks["keys"]] == [old, response.json["id"]]


async def test_the_old_key_says_until_when_it_is_trusted(api: CheckedClient) -> None:
    await published(api)
    new = (await api.post(KEYS, {"emergency": False})).json
    old = (await api.get(SETTINGS)).json["public_verification_key"]
    assert new["not_before"] < old["expires_at"]
    assert "expires_at" not in new


async def test_an_emergency_replaces_the_key_at_once_also_while_another_is_pending(
    api: CheckedClient,
) -> None:
    ((_, old),) = await published(api)
    pending = (await api.post(KEYS, {})).json["id"]
    response = await api.post(KEYS, {"emergency": True})
    assert (response.status, response.json["status"]) == (201, "active")
    assert await published(api) == [
        ("active", response.json["id"]),
        ("retiring", old),
        ("pending", pending),
    ]


async def test_a_second_rotation_is_told_when_it_can_be_made(api: CheckedClient) -> None:
    pending = (await api.post(KEYS, {})).json
    response = await api.post(KEYS, {})
    assert (response.status, response.json["error_code"]) == (409, 1501)
    assert pending["not_before"].removesuffix("Z") in response.json["message"]


async def test_what_makes_no_sense_is_refused(api: CheckedClient) -> None:
    for body, field in (({"emergency": "yes"}, "emergency"), ({"urgent": True}, "urgent")):
        response = await api.post(KEYS, body)
        assert (response.status, response.wrong_fields) == (400, {field})
    for wrong in (b"", b"emergency"):
        response = await api.call("POST", KEYS, data=wrong, chunked=True)
        assert response.status == 415
    ((status, _),) = await published(api)
    assert status == "active"


async def test_a_repeated_rotation_makes_no_other_key(api: CheckedClient) -> None:
    named = {"Idempotency-Key": "8f14e45f"}
    first, again = [await api.call("POST", KEYS, headers=named) for _ in range(2)]
    assert (again.status, again.json) == (201, first.json)
    assert again.headers["Location"] == first.headers["Location"]
    assert len(await published(api)) == 2
