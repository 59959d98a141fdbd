"""Keys and their rotation, API keys, and the audit log."""

from tests.entrypoints.console.conftest import ENVIRONMENT, HOSTILE, Console
from tests.entrypoints.console.scenes import subscribed


async def test_keys_are_shown_in_each_form_and_rotated(console: Console) -> None:
    page = await console.get(console.of_environment("/keys"))
    assert "active" in page.words
    assert "whpk_" in page.words
    key = page.field("idempotency_key")
    page = await console.post(console.of_environment("/keys/rotate"), idempotency_key=key)
    assert "pending" in page.words
    assert "signs from" in page.words
    page = await console.post(console.of_environment("/keys/rotate"))
    assert page.status == 409
    assert 'id="form-error"' in page.text


async def test_an_emergency_is_confirmed_by_typing(console: Console) -> None:
    await console.get(console.of_environment("/keys"))
    path = console.of_environment("/keys/rotate")
    page = await console.post(path, emergency="true", confirm="yes")
    assert page.status == 400
    assert 'id="confirm-error"' in page.text
    page = await console.post(path, emergency="true", confirm="replace the key now")
    assert page.status == 200
    assert "trusted until" in page.words


async def test_an_api_key_is_shown_once_and_revoked(console: Console) -> None:
    assert "No API keys yet" in (await console.get("/api-keys")).words
    made = await console.post("/api-keys", name=HOSTILE, scope="read", reach="all")
    assert "whk_" in made.text
    assert "<script>alert" not in made.text
    page = await console.get("/api-keys")
    assert "whk_" not in page.text
    assert f"{HOSTILE} active read all" in page.words
    (revoke,) = [link for link in page.text.split('"') if link.endswith("/revoke")]
    assert "revoked" in (await console.post(revoke)).words


async def test_what_is_wrong_with_an_api_key_stands_at_its_field(console: Console) -> None:
    wrong = {"name": "", "scope": "read", "environments": "nonsense", "expires_at": "soon"}
    page = await console.post("/api-keys", **wrong)
    assert page.status == 400
    for field in ("name", "environments", "expires_at"):
        assert f'id="{field}-error"' in page.text


async def test_a_key_for_all_environments_is_asked_for_in_words(console: Console) -> None:
    page = await console.post("/api-keys", name="Mine", scope="write", reach="some")
    assert page.status == 400
    assert "Name the environments, or choose all of them." in page.words
    assert "No API keys yet" in page.words
    page = await console.post(
        "/api-keys", name="Mine", scope="write", reach="some", environments=str(ENVIRONMENT)
    )
    assert "Mine active write 1" in page.words


async def test_the_audit_log_says_who_changed_what(console: Console) -> None:
    page = await console.get(console.of_environment("/audit"))
    assert "Nothing has been changed yet." in page.words
    webhook_id = await subscribed(console)
    page = await console.get(console.of_environment("/audit"))
    assert f"createWebhook {webhook_id} anybody" in page.words
    await console.post("/api-keys", name="Mine", scope="read", reach="all")
    page = await console.get("/audit")
    assert "createApiKey" in page.words


async def test_an_environment_is_erased_by_typing_its_id_with_progress(console: Console) -> None:
    await subscribed(console)
    path = console.of_environment("/erasure")
    assert "This environment has not been erased." in (await console.get(path)).words
    page = await console.post(path, confirm="yes")
    assert page.status == 400
    assert 'id="confirm-error"' in page.text
    page = await console.post(path, confirm=str(ENVIRONMENT))
    assert page.status == 200
    assert "The environment is being erased." in page.words
    assert "data-live" in page.text
    while not (await console.stage.storage.erasures.advance(ENVIRONMENT, 100)).is_last:
        pass
    page = await console.get(path)
    assert "All that was stored of the environment is gone." in page.words
    assert "data-live" not in page.text


async def test_the_rail_leads_to_every_page_that_there_is(console: Console) -> None:
    page = await console.get(console.of_environment())
    for link in page.links:
        if link.startswith("/console"):
            assert (await console.get(link)).status == 200, link
