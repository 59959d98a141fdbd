"""What client commands say where the API does not let them in."""

import pytest

from notification_entrypoints.cli import main
from notification_entrypoints.commands.exit_codes import Exit
from tests.entrypoints.fake_api import FakeApi
from tests.support.output import Output

TYPES = ["events", "types"]
PATH = "/webhooks/events"


def test_whoever_has_no_key_is_told_where_it_goes_and_who_makes_one(
    api: FakeApi, capsys: Output
) -> None:
    api.responds("GET", PATH, (401, {"message": "Authentication required."}))
    assert main(TYPES) == Exit.DENIED
    said = capsys.readouterr().err
    assert "set NOTIFICATION_API_KEY to an API key" in said
    assert "notification-management keys create" in said


@pytest.mark.parametrize("status", [401, 403])
def test_whoever_has_a_key_that_does_not_fit_is_told_why_and_never_which(
    api: FakeApi, capsys: Output, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setenv("NOTIFICATION_API_KEY", "whk_secret\n")
    api.responds("GET", PATH, (status, {"message": "The API key was revoked."}))
    assert main(["--debug", *TYPES]) == Exit.DENIED
    said = capsys.readouterr().err
    assert "the key in NOTIFICATION_API_KEY" in said.replace("The key", "the key")
    assert "The API key was revoked." in said
    assert "whk_secret" not in said
    assert api.requests[0].authorization == "Bearer whk_secret"


def test_what_is_no_key_is_not_sent(
    api: FakeApi, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFICATION_API_KEY", "two\r\nX-Lines: 1")
    assert main(TYPES) == Exit.USAGE
    assert "NOTIFICATION_API_KEY" in capsys.readouterr().err
    assert not api.requests
