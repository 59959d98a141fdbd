"""The verifier of the guide's receivers in Python, with a key set that is not always one."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from threading import Thread
from types import ModuleType
from uuid import UUID

import pytest

from notification_core.model.event import Event, body_of
from notification_core.model.signing_key import new_signing_key, public_forms
from notification_core.signing.signatures import SignatureHeaders, message_id, sign

FILE = Path(__file__).parents[2] / "docs" / "receivers" / "webhook_verifier.py"
ENVIRONMENT = UUID("0b6f2e0c-5d0c-4d7e-8a57-2f7a3f0f6f10")
HEADERS = SignatureHeaders("X-3dverse-Signature", "X-3dverse-Signature-Timestamp")
NOW = datetime.now(UTC)
KEY = new_signing_key(ENVIRONMENT, NOW, b"k" * 32)
BODY = body_of(Event("evt-1", ENVIRONMENT, "job-completed", NOW, b"{}"))
KEY_SET = json.dumps({"keys": [public_forms(KEY.public_key).jwk]})


@pytest.fixture
def verifier(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = spec_from_file_location("webhook_verifier", FILE)
    assert spec
    assert spec.loader
    module = module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    # The keys are read again for each request.
    monkeypatch.setattr(module, "KEYS_MAX_AGE", -1)
    return module


@contextmanager
def serving(pages: list[str]) -> Iterator[str]:
    """Serve these pages one after another, and then the last one; yields the URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            page = (pages.pop(0) if len(pages) > 1 else pages[0]).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/jwks.json"
        finally:
            server.shutdown()
            thread.join()


def signed() -> dict[str, str]:
    now = int(datetime.now(UTC).timestamp())
    return dict(sign(HEADERS, [KEY], message_id(ENVIRONMENT, "evt-1"), now, BODY))


@pytest.mark.parametrize("page", ["<html>", "{}", "[]", '{"keys": [{"kid": "a"}]}', '{"keys": 1}'])
def test_known_keys_stay_in_use_while_the_url_returns_something_else(
    verifier: ModuleType, page: str
) -> None:
    with serving([KEY_SET, page]) as url:
        trusting = verifier.WebhookVerifier(url)
        for _ in range(2):
            assert trusting.verify(BODY, signed())["id"] == "evt-1"


def test_without_keys_it_is_no_verdict_on_the_request(verifier: ModuleType) -> None:
    with serving(["{}"]) as url, pytest.raises(ConnectionError, match="There are no keys at"):
        verifier.WebhookVerifier(url).verify(BODY, signed())


def test_a_verifier_that_could_trust_nothing_is_refused(verifier: ModuleType) -> None:
    for url in (None, ""):
        with pytest.raises(ValueError, match="KEYS_URL"):
            verifier.WebhookVerifier(url)
