"""The JSON Web Key Set of an environment, as receivers and caches read it."""

from uuid import UUID

from tests.entrypoints.api_examples import ANOTHER, ENVIRONMENT
from tests.entrypoints.api_services import Backstage
from tests.entrypoints.checked_api import CheckedClient

PATH = f"/environments/{ENVIRONMENT}/jwks.json"


async def test_the_set_holds_the_key_that_the_settings_publish(api: CheckedClient) -> None:
    settings = (await api.get(f"/environments/{ENVIRONMENT}/settings")).json
    response = await api.get(PATH)
    assert response.json == {"keys": [settings["public_verification_key"]["jwk"]]}
    assert response.headers["Cache-Control"] == "public, max-age=300"


async def test_an_environment_without_keys_has_an_empty_set_and_is_given_none(
    api: CheckedClient, stage: Backstage
) -> None:
    response = await api.get(PATH)
    assert (response.status, response.json) == (200, {"keys": []})
    assert response.headers["Cache-Control"] == "no-store"
    assert not await stage.storage.signing_keys.keys_of([UUID(ENVIRONMENT)])


async def test_who_has_the_set_already_is_told_so(api: CheckedClient) -> None:
    await api.get(f"/environments/{ENVIRONMENT}/settings")
    tag = (await api.get(PATH)).headers["ETag"]
    for known in (tag, f"W/{tag}", f'"older", {tag}'):
        again = await api.get(PATH, headers={"If-None-Match": known})
        assert (again.status, again.json) == (304, None)
        assert again.headers["ETag"] == tag
        assert again.headers["Cache-Control"] == "public, max-age=300"


async def test_another_set_is_sent_whole(api: CheckedClient) -> None:
    await api.get(f"/environments/{ENVIRONMENT}/settings")
    tag = (await api.get(f"/environments/{ANOTHER}/jwks.json")).headers["ETag"]
    response = await api.get(PATH, headers={"If-None-Match": tag})
    assert response.status == 200
    assert response.headers["ETag"] != tag
