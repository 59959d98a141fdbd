"""How to verify requests: the code that the console gives works, and secrets are shown once."""

import asyncio
import re
import time
from typing import Any

import pytest

from notification_entrypoints.console.verification_code import LANGUAGES, verification_code
from tests.entrypoints.console.conftest import ENVIRONMENT, Console
from tests.entrypoints.console.scenes import call, subscribed

SECRET = re.compile(r"whsec_[\w+/=]{32,}")


def path(console: Console, webhook_id: str, page: str = "") -> str:
    return console.of_environment(f"/webhooks/{webhook_id}/verification{page}")


async def test_the_python_code_takes_what_the_environment_signs_and_nothing_else(
    console: Console,
) -> None:
    settings = await call(console, "GET", f"/environments/{ENVIRONMENT}/settings")
    keys = await console.stage.storage.signing_keys.keys_of([ENVIRONMENT])
    names: dict[str, Any] = {"__name__": "webhook_verifier"}
    exec(verification_code(settings, "python"), names)  # noqa: S102 - it is ours
    verifier = names["WebhookVerifier"](f"{console.url}/api/environments/{ENVIRONMENT}/jwks.json")
    stamp, body = str(int(time.time())), b'{"id": 1}'
    form = settings["public_verification_key"]["signature"]
    signature = keys[0].private_key.sign(stamp.encode() + body).hex()
    headers = {form["header"]: signature, form["timestamp_header"]: stamp}

    # The code blocks while it reads the keys.
    assert await asyncio.to_thread(verifier.verify, body, headers) == {"id": 1}
    old = {**headers, form["timestamp_header"]: str(int(stamp) - 1000)}
    for changed, given in ((body + b" ", headers), (body, {}), (body, old)):
        with pytest.raises(names["Rejected"]):
            verifier.verify(changed, given)


async def test_each_language_is_there_with_the_installation_s_headers(console: Console) -> None:
    webhook_id = await subscribed(console)
    for language in LANGUAGES:
        page = await console.get(path(console, webhook_id), params={"language": language})
        assert "webhook-signature" in page.words
        assert f"/api/environments/{ENVIRONMENT}/jwks.json" in page.words
    form = {"header": "X-Own", "timestamp_header": "X-Own-Time", "key_id_header": "X-Own-Key-Id"}
    settings = {"public_verification_key": {"signature": form}}
    for language in LANGUAGES:
        code = verification_code(settings, language)
        assert "3dverse" not in code.lower()
        assert "x-own-time" in code.lower()


async def test_a_secret_is_shown_once_and_revoked(console: Console) -> None:
    webhook_id = await subscribed(console)
    made = await console.post(path(console, webhook_id, "/secrets"))
    assert SECRET.search(made.text)
    page = await console.get(path(console, webhook_id))
    assert not SECRET.search(page.text)
    (revoke,) = [link for link in page.text.split('"') if link.endswith("/revoke")]
    page = await console.post(revoke)
    assert "Make a signing secret" in page.words
    assert not await call(console, "GET", f"/webhooks/{webhook_id}/signing-secrets")


async def test_a_secret_that_is_none_is_said_at_its_field(console: Console) -> None:
    webhook_id = await subscribed(console)
    page = await console.post(path(console, webhook_id, "/secrets"), secret="whsec_short")
    assert page.status == 400
    assert 'id="secret-error"' in page.text
