"""The JSON Web Key Set of an environment, as receivers and caches read it."""

from tests.entrypoints.api_examples import ANOTHER, ENVIRONMENT
from tests.entrypoints.checked_api import CheckedClient

PATH = f"/environments/{ENVIRONMENT}/jwks.json"


async def test_the_set_holds_the_key_that_the_settings_publish(api: CheckedClient) -> None:
    settings = (await api.get(f"/environments/{ENVIRONMENT}/settings")).json
    answer = await api.get(PATH)
    assert answer.json == {"keys": [settings["public_verification_key"]["jwk"]]}
    assert answer.headers["Cache-Control"] == "public, max-age=300"


async def test_who_has_the_set_already_is_told_so(api: CheckedClient) -> None:
    tag = (await api.get(PATH)).headers["ETag"]
    for known in (tag, f"W/{tag}", f'"older", {tag}'):
        again = await api.get(PATH, headers={"If-None-Match": known})
        assert (again.status, again.json) == (304, None)
        assert again.headers["ETag"] == tag
        assert again.headers["Cache-Control"] == "public, max-age=300"


async def test_another_set_is_sent_whole(api: CheckedClient) -> None:
    tag = (await api.get(f"/environments/{ANOTHER}/jwks.json")).headers["ETag"]
    answer = await api.get(PATH, headers={"If-None-Match": tag})
    assert answer.status == 200
    assert answer.headers["ETag"] != tag
