"""Text files as some editors and shells save them: with a byte order mark, or in UTF-16."""

import codecs
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from notification_core.errors import InvalidInput, InvalidSettings, StorageUnusable
from notification_entrypoints.cli import main
from notification_entrypoints.cli.verify import parse_captured
from notification_entrypoints.commands.exit_codes import Exit
from notification_entrypoints.config.databases import up_defaults
from notification_entrypoints.config.policies import trust_of
from notification_entrypoints.config.settings import load_settings
from tests.entrypoints.api_examples import DRAFT
from tests.entrypoints.api_services import backstage, in_memory
from tests.entrypoints.checked_api import called
from tests.entrypoints.fake_api import FakeApi, fake_api
from tests.support.certificates import Authority

SECRET = "a secret of thirty-two letters !"
ENVIRONMENT = "0b6f2e0c-5d0c-4d7e-8a57-2f7a3f0f6f10"
EVENTS = f"/environments/{ENVIRONMENT}/events"
EVENT = b'{"event_id":"1","event":"job-completed","data":{}}\n'
CAPTURED = b"POST / HTTP/1.1\r\nwebhook-id: msg_1\r\n\r\n{}"
UTF_16 = [codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE]


def in_utf_16(text: bytes, mark: bytes) -> bytes:
    name = "utf-16-le" if mark == codecs.BOM_UTF16_LE else "utf-16-be"
    return mark + text.decode().encode(name)


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeApi]:
    with fake_api() as api:
        monkeypatch.setenv("NOTIFICATION_API_URL", api.url)
        api.responds("POST", EVENTS, (202, [{"event_id": "1", "duplicate": False}]))
        yield api


def test_a_secrets_file_may_have_one(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_bytes(codecs.BOM_UTF8 + f"{SECRET}\r\n".encode())
    assert load_settings({"DB_ENCRYPTION_SECRET_FILE": str(file)}).db.encryption_secret == SECRET


@pytest.mark.parametrize("mark", UTF_16)
def test_a_secrets_file_in_utf_16_is_called_that(tmp_path: Path, mark: bytes) -> None:
    file = tmp_path / "secret"
    file.write_bytes(in_utf_16(SECRET.encode(), mark))
    with pytest.raises(InvalidSettings, match="UTF-16"):
        load_settings({"DB_ENCRYPTION_SECRET_FILE": str(file)})


def test_the_kept_secret_of_an_embedded_database_may_have_one(tmp_path: Path) -> None:
    file = tmp_path / "notification-management.sqlite.secret"
    file.write_bytes(codecs.BOM_UTF8 + SECRET.encode())
    assert up_defaults(tmp_path, {})["DB_ENCRYPTION_SECRET"] == SECRET
    file.write_bytes(in_utf_16(SECRET.encode(), codecs.BOM_UTF16_LE))
    with pytest.raises(StorageUnusable, match="UTF-16"):
        up_defaults(tmp_path, {})


def test_a_file_of_events_may_have_one(api: FakeApi, tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    file.write_bytes(codecs.BOM_UTF8 + EVENT)
    assert main(["publish", str(file), "--environment", ENVIRONMENT]) == 0
    (body,) = api.bodies()
    assert json.loads(body) == [json.loads(EVENT)]


@pytest.mark.parametrize("mark", UTF_16)
def test_a_file_of_events_in_utf_16_is_called_that(
    api: FakeApi, tmp_path: Path, mark: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "events.jsonl"
    file.write_bytes(in_utf_16(EVENT, mark))
    assert main(["publish", str(file), "--environment", ENVIRONMENT]) == Exit.REFUSED
    assert "is UTF-16" in capsys.readouterr().err
    assert not api.requests


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", EVENTS, EVENT),
        ("POST", EVENTS, b"[" + EVENT + b"]"),
        ("POST", f"/environments/{ENVIRONMENT}/webhooks", json.dumps(DRAFT).encode()),
    ],
)
async def test_a_body_with_one_is_refused_with_the_cause(
    method: str, path: str, body: bytes, tmp_path: Path
) -> None:
    headers = {"Content-Type": "application/json"}
    async with backstage(in_memory(tmp_path)) as stage, called(stage.application) as client:
        marked = codecs.BOM_UTF8 + body
        refused = await client.call(method, path, data=marked, headers=headers)
        assert refused.status == 400
        (detail,) = refused.json["details"]
        assert "byte order mark" in detail["message"]


def test_a_file_of_authorities_with_one_is_refused_with_the_cause(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_bytes(codecs.BOM_UTF8 + Authority(tmp_path).certificate.encode())
    with pytest.raises(InvalidSettings, match=r"WEBHOOKS_CA_FILE .*byte order mark"):
        trust_of("WEBHOOKS_CA_FILE", file)
    file.write_bytes(Authority(tmp_path).certificate.encode())
    assert trust_of("WEBHOOKS_CA_FILE", file)


@pytest.mark.parametrize("captured", [CAPTURED, b'{"headers":{"webhook-id":"msg_1"},"body":"{}"}'])
def test_a_captured_request_may_have_one(captured: bytes) -> None:
    read = parse_captured(codecs.BOM_UTF8 + captured)
    assert (read.headers["webhook-id"], read.body) == ("msg_1", b"{}")
    with pytest.raises(InvalidInput, match="is UTF-16"):
        parse_captured(in_utf_16(captured, codecs.BOM_UTF16_BE))
