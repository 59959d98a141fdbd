"""``config check``: what it shows of the settings, and what it never does."""

import json
from pathlib import Path

import pytest

from notification_core.model.custom_headers import MASK
from notification_entrypoints.cli import main
from notification_entrypoints.commands.exit_codes import Exit
from notification_entrypoints.config.settings import variables
from tests.support.output import Output

SECRET = "a secret of thirty-two letters !"


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in variables():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def checked(capsys: Output, *arguments: str) -> tuple[int, dict[str, dict[str, str]]]:
    """Return the exit code, and of each setting what is said of it."""
    code = main(["config", "check", "--json", *arguments])
    settings = json.loads(capsys.readouterr().out)["settings"]
    return code, {each["variable"]: each for each in settings}


def test_with_nothing_set_up_can_start_and_nothing_is_made(capsys: Output, tmp_path: Path) -> None:
    code, settings = checked(capsys)
    assert code == Exit.OK
    assert settings.keys() == variables().keys()
    assert settings["DB_URI"]["from"] == "command"
    assert settings["DB_URI"]["value"].endswith(f"{tmp_path}/notification-management.sqlite")
    assert settings["API_SERVER_PORT"] | {"meaning": ""} == {
        "variable": "API_SERVER_PORT", "value": "3615", "from": "default", "meaning": "",
    }  # fmt: skip
    assert "made at the first start" in settings["DB_ENCRYPTION_SECRET"]["value"]
    assert not list(tmp_path.iterdir())


def test_each_origin_is_told_and_secrets_are_masked(
    capsys: Output, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pass").write_text("hunter2hunter2")
    monkeypatch.setenv("DB_AUTH_PASS_FILE", "pass")
    monkeypatch.setenv("DB_ENCRYPTION_SECRET", SECRET)
    assert main(["config", "check"]) == 0
    said = capsys.readouterr().out
    assert SECRET not in said
    assert "hunter2" not in said
    _, settings = checked(capsys)
    assert settings["DB_AUTH_PASS"]["from"] == "file"
    assert settings["DB_AUTH_PASS"]["value"] == MASK
    assert settings["DB_ENCRYPTION_SECRET"]["from"] == "environment"
    assert settings["DB_ENCRYPTION_SECRET"]["value"] == MASK


def test_a_secret_that_up_has_kept_is_found_and_masked(capsys: Output, tmp_path: Path) -> None:
    (tmp_path / "notification-management.sqlite.secret").write_text(SECRET)
    _, settings = checked(capsys)
    assert settings["DB_ENCRYPTION_SECRET"]["value"] == MASK
    assert settings["DB_ENCRYPTION_SECRET"]["from"] == "command"


def test_all_that_is_wrong_is_told_at_once_with_an_exit_code_of_its_own(
    capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_SERVER_PORT", "many")
    monkeypatch.setenv("DEBUG", "perhaps")
    assert main(["config", "check"]) == Exit.SETTINGS
    said = capsys.readouterr().err
    assert "API_SERVER_PORT is 'many'" in said
    assert "DEBUG is 'perhaps'" in said
    assert main(["config", "check", "--json"]) == Exit.SETTINGS
    found = json.loads(capsys.readouterr().out)
    assert not found["ok"]
    assert [each["variable"] for each in found["problems"]] == ["DEBUG", "API_SERVER_PORT"]


def test_what_up_would_not_start_with_is_told_too(
    capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POD_IP", "10.0.0.1")
    assert main(["config", "check"]) == Exit.SETTINGS
    assert "API_AUTH must be set" in capsys.readouterr().err


def test_what_another_command_needs_is_missed(capsys: Output) -> None:
    assert main(["config", "check", "--for", "migrate"]) == Exit.SETTINGS
    assert "DB_ENCRYPTION_SECRET must be set" in capsys.readouterr().err


def test_a_slip_in_a_name_is_noticed(capsys: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEBHOOKS_MAX_RETRY", "5")
    assert main(["config", "check"]) == 0
    assert "did you mean WEBHOOKS_MAX_RETRIES?" in capsys.readouterr().err
