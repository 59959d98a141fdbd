"""``doctor``: what it shows of the settings, and what it never does."""

import json
import socket
from pathlib import Path

import pytest

from notification_core.model.custom_headers import MASK
from notification_entrypoints.cli import main
from notification_entrypoints.commands import doctor
from notification_entrypoints.commands.exit_codes import Exit
from notification_entrypoints.config.settings import variables
from tests.support.output import Output

SECRET = "a secret of thirty-two letters !"


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in variables():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(doctor, "_LOOKED_UP", "localhost")


def checked(capsys: Output, *arguments: str) -> tuple[int, dict[str, dict[str, str]]]:
    """Return the exit code, and of each setting what is said of it."""
    code = main(["doctor", "--json", *arguments])
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
    assert main(["doctor", "--settings"]) == 0
    said = capsys.readouterr().out
    assert "DB_AUTH_PASS" in said
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
    assert main(["doctor"]) == Exit.SETTINGS
    said = capsys.readouterr().out
    assert "API_SERVER_PORT is 'many'" in said
    assert "DEBUG is 'perhaps'" in said
    assert main(["doctor", "--json"]) == Exit.SETTINGS
    found = json.loads(capsys.readouterr().out)
    assert not found["ok"]
    assert [each["variable"] for each in found["problems"]] == ["DEBUG", "API_SERVER_PORT"]


def test_what_up_would_not_start_with_is_told_too(
    capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POD_IP", "10.0.0.1")
    assert main(["doctor"]) == Exit.SETTINGS
    assert "API_AUTH must be set" in capsys.readouterr().out


def test_what_another_command_needs_is_missed(capsys: Output) -> None:
    assert main(["doctor", "--for", "migrate"]) == Exit.SETTINGS
    assert "DB_ENCRYPTION_SECRET must be set" in capsys.readouterr().out


def test_a_slip_in_a_name_is_noticed(capsys: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEBHOOKS_MAX_RETRY", "5")
    assert main(["doctor"]) == 0
    assert "did you mean WEBHOOKS_MAX_RETRIES?" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["WEBHOOKS_RETRY_INTERVALS", "WEBHOOK_RETRY_INTERVAL"])
def test_a_missing_or_additional_letter_is_noticed(
    capsys: Output, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "5s")
    assert main(["doctor"]) == 0
    assert f"{name} is set, but is not a setting; did you mean WEBHOOKS_RETRY_INTERVAL?" in (
        capsys.readouterr().out
    )


def results(capsys: Output, *arguments: str) -> dict[str, tuple[str, str]]:
    """Return of each check what it found, and what it says."""
    main(["doctor", "--json", *arguments])
    found = json.loads(capsys.readouterr().out)["checks"]
    return {each["check"]: (each["verdict"], each["message"]) for each in found}


def test_surroundings_that_are_well(capsys: Output, tmp_path: Path) -> None:
    found = results(capsys)
    assert {"storage", "clock", "kafka", "dns", "ports", "open files"} < found.keys()
    assert found["storage"][0] == found["clock"][0] == found["kafka"][0] == "ok"
    assert "will be created" in found["storage"][1]
    assert not list(tmp_path.iterdir())


def test_servers_that_cannot_be_reached_are_named_and_fail(
    capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DB_URI", "postgresql://user:hunter2@127.0.0.1:9/name")
    monkeypatch.setenv("DB_ENCRYPTION_SECRET", SECRET)
    monkeypatch.setenv("KAFKA_BROKERS", "127.0.0.1:9")
    assert main(["doctor"]) == Exit.UNAVAILABLE
    said = capsys.readouterr().out
    assert "✗  storage" in said
    assert "connection refused" in said
    assert "127.0.0.1:9" in said
    assert "hunter2" not in said
    assert "✗  kafka" in said


def test_a_schema_that_is_missing_is_told_with_the_command(
    capsys: Output, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "n.sqlite").touch()
    monkeypatch.setenv("DB_URI", f"sqlite:///{tmp_path}/n.sqlite")
    monkeypatch.setenv("DB_ENCRYPTION_SECRET", SECRET)
    verdict, message = results(capsys)["storage"]
    assert verdict == "failed"
    assert "notification-management migrate" in message


def test_a_port_that_is_taken_is_told(capsys: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        monkeypatch.setenv("OPS_SERVER_PORT", port)
        verdict, message = results(capsys)["ports"]
    assert verdict == "warning"
    assert f"127.0.0.1:{port}" in message
    assert "OPS_SERVER_PORT" in message


def test_one_port_for_two_servers_is_refused(
    capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_SERVER_PORT", "22030")
    monkeypatch.setenv("OPS_SERVER_PORT", "22030")
    assert main(["doctor"]) == Exit.SETTINGS
    assert "cannot share a port" in capsys.readouterr().out
    assert main(["up"]) == Exit.SETTINGS
    assert "API_SERVER_PORT and OPS_SERVER_PORT are both 22030" in capsys.readouterr().err


def test_settings_come_from_a_file_and_the_environment_wins(
    capsys: Output, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "settings.env"
    file.write_text("API_SERVER_PORT=4000\nWEBHOOKS_MAX_RETRIES=7\n")
    monkeypatch.setenv("WEBHOOKS_MAX_RETRIES", "9")
    _, settings = checked(capsys, "--config", str(file))
    assert settings["API_SERVER_PORT"]["value"] == "4000"
    assert settings["WEBHOOKS_MAX_RETRIES"]["value"] == "9"
    assert main(["doctor", "--config", str(tmp_path / "missing.env")]) == Exit.SETTINGS
    assert "missing.env cannot be read" in capsys.readouterr().err
