"""How to verify requests: the code that the console gives works, and secrets are shown once."""

import time
from typing import Any

from notification_entrypoints.console.verification_code import verification_code
from tests.entrypoints.console.conftest import ENVIRONMENT, Console
from tests.entrypoints.console.scenes import call, subscribed


def path(console: Console, webhook_id: str, page: str = "") -> str:
    return console.of_environment(f"/webhooks/{webhook_id}/verification{page}")


async def test_the_python_code_takes_what_the_environment_signs_and_nothing_else(
    console: Console,
) -> None:
    webhook_id = await subscribed(console)
    settings = await call(console, "GET", f"/environments/{ENVIRONMENT}/settings")
    code = verification_code(settings)["python"]
    keys = await console.stage.storage.signing_keys.keys_of([ENVIRONMENT])
    names: dict[str, Any] = {}
    exec(code, names)  # noqa: S102 - it is ours
    stamp, body = str(int(time.time())), b'{"id": 1}'
    form = settings["public_verification_key"]["signature"]
    signature = keys[0].private_key.sign(stamp.encode() + body).hex()
    headers = {form["header"]: signature, form["timestamp_header"]: stamp}
    assert names["is_genuine"](body, headers)
    assert not names["is_genuine"](body + b" ", headers)
    assert not names["is_genuine"](body, {})
    old = {**headers, form["timestamp_header"]: str(int(stamp) - 1000)}
    assert not names["is_genuine"](body, old)
    page = await console.get(path(console, webhook_id))
    assert settings["public_verification_key"]["hex"] in page.words


async def test_each_language_is_there_with_the_key(console: Console) -> None:
    webhook_id = await subscribed(console)
    for language, word in {"node": "createPublicKey", "go": "ed25519.Verify"}.items():
        page = await console.get(path(console, webhook_id), params={"language": language})
        assert word in page.words


async def test_a_secret_is_shown_once_and_revoked(console: Console) -> None:
    webhook_id = await subscribed(console)
    made = await console.post(path(console, webhook_id, "/secrets"))
    assert "whsec_" in made.text.replace("whsec_…", "")
    page = await console.get(path(console, webhook_id))
    assert "whsec_" not in page.text.replace("whsec_…", "")
    (revoke,) = [link for link in page.text.split('"') if link.endswith("/revoke")]
    page = await console.post(revoke)
    assert "Make a signing secret" in page.words
    assert not await call(console, "GET", f"/webhooks/{webhook_id}/signing-secrets")


async def test_a_secret_that_is_none_is_said_at_its_field(console: Console) -> None:
    webhook_id = await subscribed(console)
    page = await console.post(path(console, webhook_id, "/secrets"), secret="whsec_short")
    assert page.status == 400
    assert 'id="secret-error"' in page.text
