"""``portal-sessions`` against a fake API."""

import json

from notification_entrypoints.cli import main
from tests.entrypoints.fake_api import FakeApi
from tests.support.output import Output

ENVIRONMENT = "0b6f2e0c-5d0c-4d7e-8a57-2f7a3f0f6f10"
SESSION_ID = "019ab5c8-9d00-7e4b-a1f7-2c3d4e5f6a7b"
PATH = f"/environments/{ENVIRONMENT}/portal-sessions"
URL = "https://notify.example.com/console/portal/secret"
MADE = {"session_id": SESSION_ID, "url": URL, "expires_at": "2026-11-25T17:00:00Z"}
LISTED = {
    "session_id": SESSION_ID,
    "scope": "write",
    "name": "Anna",
    "opened": True,
    "created_at": "2026-11-25T09:00:00Z",
    "expires_at": "2026-11-25T17:00:00Z",
}


def test_only_the_url_goes_to_standard_output(api: FakeApi, capsys: Output) -> None:
    api.responds("POST", PATH, (201, MADE))
    assert main(["portal-sessions", "create", ENVIRONMENT]) == 0
    told = capsys.readouterr()
    assert told.out == f"{URL}\n"
    assert SESSION_ID in told.err
    assert json.loads(api.bodies()[0]) == {"scope": "read"}


def test_what_is_asked_for_is_sent(api: FakeApi, capsys: Output) -> None:
    api.responds("POST", PATH, (201, MADE))
    options = ["--scope", "write", "--name", "Anna", "--expires-in", "8h", "--json"]
    assert main(["portal-sessions", "create", ENVIRONMENT, *options]) == 0
    assert json.loads(api.bodies()[0]) == {"scope": "write", "name": "Anna", "expires_in": "8h"}
    assert json.loads(capsys.readouterr().out) == MADE


def test_sessions_are_listed(api: FakeApi, capsys: Output) -> None:
    api.responds("GET", PATH, (200, [LISTED]), (200, []))
    for expected in ("Anna", "No customer has the portal open"):
        assert main(["portal-sessions", "list", ENVIRONMENT]) == 0
        assert expected in " ".join(capsys.readouterr().out.split())


def test_a_session_is_revoked(api: FakeApi, capsys: Output) -> None:
    api.responds("DELETE", f"{PATH}/{SESSION_ID}", (204, None))
    assert main(["portal-sessions", "revoke", ENVIRONMENT, SESSION_ID, "--yes"]) == 0
    assert "has ended" in capsys.readouterr().out
