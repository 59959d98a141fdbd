"""The command line as a whole, and the commands that only look or ask."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import notification_entrypoints.up
from notification_core.errors import InvalidSettings
from notification_entrypoints.cli import main
from tests.entrypoints.fake_api import FakeApi, fake_api

ENVIRONMENT = "0b6f2e0c-5d0c-4d7e-8a57-2f7a3f0f6f10"
WEBHOOK = {
    "webhook_id": "019aa5b0-0000-7000-8000-000000000001",
    "environment_id": ENVIRONMENT,
    "name": "Tickets",
    "url": "https://example.com/hook",
    "method": "post",
    "events": ["job-completed"],
    "created_at": "2026-03-01T00:00:00Z",
}
ATTEMPT = {
    "log_id": "019aa5b0-0000-7000-8000-000000000003",
    "webhook_id": WEBHOOK["webhook_id"],
    "delivery_id": "019aa5b0-0000-7000-8000-000000000002",
    "event_id": "evt-1",
    "event": "job-completed",
    "attempt": 1,
    "outcome": "failed",
    "error": {"code": "http_status", "message": "The answer was 500."},
    "response": {"http_code": 500, "headers": {}, "body": "", "truncated": False},
    "started_at": "2026-03-01T00:00:00.000000Z",
    "duration_ms": 12.5,
    "next_attempt_at": "2026-03-01T00:00:01.000000Z",
}
LIST = f"/environments/{ENVIRONMENT}/webhooks"
LOGS = f"/webhooks/{WEBHOOK['webhook_id']}/logs"


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeApi]:
    with fake_api() as api:
        monkeypatch.setenv("NOTIFICATION_API_URL", api.url)
        yield api


def test_help_names_every_command_and_loads_none_of_them() -> None:
    script = (
        "import sys; from notification_entrypoints.cli import main; code = main(['--help']); "
        "print(sorted({'aiohttp', 'rich', 'sqlalchemy'} & set(sys.modules))); sys.exit(code)"
    )
    said = subprocess.run(  # noqa: S603 - this interpreter with our own script
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout
    for command in ("up", "migrate", "publish", "listen", "webhooks", "logs"):
        assert f"\n  {command} " in said
    assert said.endswith("[]\n")


@pytest.mark.parametrize(
    "command", ["up", "migrate", "publish", "listen", "webhooks", "webhooks create", "logs"]
)
def test_each_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command.split(), "--help"]) == 0
    assert f"Usage: notification-management {command}" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["eat"], ["logs"], ["logs", "not-a-uuid"], ["up", "--x"]])
def test_a_wrong_call_is_a_usage_error(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert "Usage: notification-management" in capsys.readouterr().err


def test_up_is_given_the_folder_and_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[Path | None, Mapping[str, str]]] = []
    monkeypatch.setattr(
        notification_entrypoints.up, "run", lambda data, environ: calls.append((data, environ))
    )
    assert main(["up", "--data", str(tmp_path)]) == 0
    assert main(["up"]) == 0
    environ = os.environ
    assert calls == [(tmp_path, environ), (None, environ)]


def test_migrate_is_given_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Mapping[str, str]] = []
    monkeypatch.setattr(notification_entrypoints.up, "migrate", calls.append)
    assert main(["migrate"]) == 0
    assert calls == [os.environ]


def raising(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def run(*_: object) -> None:
        raise error

    monkeypatch.setattr(notification_entrypoints.up, "run", run)


def test_what_is_wrong_on_purpose_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    raising(monkeypatch, InvalidSettings("API_SERVER_PORT is wrong."))
    assert main(["up"]) == 1
    assert capsys.readouterr().err == "Error: API_SERVER_PORT is wrong.\n"


def test_what_nobody_expected_is_one_sentence_too_and_debug_shows_the_rest(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    raising(monkeypatch, RuntimeError("the moon fell down"))
    assert main(["up"]) == 1
    said = capsys.readouterr().err
    assert said.splitlines() == [
        "Error: Unexpected: RuntimeError: the moon fell down. See where with --debug."
    ]
    assert main(["--debug", "up"]) == 1
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_an_interruption_is_said_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    raising(monkeypatch, KeyboardInterrupt())
    assert main(["up"]) == 1
    assert capsys.readouterr().err == "\nError: Interrupted.\n"


def test_webhooks_are_listed_as_a_table(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    disabled = {"disabled_until": "9999-12-31T23:59:59Z", "disabled_reason": "gone"}
    api.answers("GET", LIST, (200, [WEBHOOK, WEBHOOK | {"name": "Old\x1b[2J"} | disabled]))
    assert main(["webhooks", "list", "--environment", ENVIRONMENT]) == 0
    said = capsys.readouterr().out
    assert str(WEBHOOK["webhook_id"]) in said
    assert "post https://example.com/hook" in said
    assert "disabled until 9999-12-31T23:59:59Z (gone)" in said
    assert "\x1b" not in said


def test_programs_get_what_the_api_answers(
    api: FakeApi, capsys: pytest.CaptureFixture[str]
) -> None:
    api.answers("GET", LIST, (200, [WEBHOOK]))
    api.answers("GET", LOGS, (200, [ATTEMPT]))
    assert main(["webhooks", "list", "--environment", ENVIRONMENT, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [WEBHOOK]
    assert main(["logs", str(WEBHOOK["webhook_id"]), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [ATTEMPT]


def test_a_webhook_is_created(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    api.answers("POST", LIST, (201, WEBHOOK))
    arguments = ["--url", "https://example.com/hook", "--name", "Tickets", "--method", "put"]
    events = ["--event", "job-completed", "--event", "job-created"]
    assert main(["webhooks", "create", "--environment", ENVIRONMENT, *arguments, *events]) == 0
    assert json.loads(api.bodies()[0]) == {
        "name": "Tickets",
        "url": "https://example.com/hook",
        "method": "put",
        "events": ["job-completed", "job-created"],
    }
    assert str(WEBHOOK["webhook_id"]) in capsys.readouterr().out


def test_a_webhook_without_named_events_gets_all_there_are(api: FakeApi) -> None:
    api.answers("GET", "/webhooks/events", (200, [{"name": "a"}, {"name": "b"}]))
    api.answers("POST", LIST, (201, WEBHOOK))
    url = "https://example.com/hook"
    assert main(["webhooks", "create", "--environment", ENVIRONMENT, "--url", url]) == 0
    assert json.loads(api.bodies()[0])["events"] == ["a", "b"]


def test_a_refused_webhook_says_which_field_and_why(
    api: FakeApi, capsys: pytest.CaptureFixture[str]
) -> None:
    detail = {"field": "url", "message": "Loopback is not allowed."}
    api.answers("GET", "/webhooks/events", (200, [{"name": "a"}]))
    api.answers("POST", LIST, (400, {"message": "Wrong: see the details.", "details": [detail]}))
    assert main(["webhooks", "create", "--environment", ENVIRONMENT, "--url", "http://x"]) == 1
    said = capsys.readouterr().err
    assert said == "Error: The API refuses this: url: Loopback is not allowed.\n"


def test_attempts_are_shown_as_a_table(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    interrupted = {
        name: ATTEMPT[name] for name in ("event_id", "event", "attempt", "started_at")
    } | {"outcome": "interrupted", "error": {"code": "interrupted", "message": "Killed."}}
    api.answers("GET", LOGS, (200, [ATTEMPT, interrupted]))
    assert main(["logs", str(WEBHOOK["webhook_id"]), "--limit", "2"]) == 0
    rows = capsys.readouterr().out.splitlines()
    first = next(row for row in rows if " failed " in row)
    assert first.split() == [
        "2026-03-01T00:00:00.000", "job-completed", "evt-1", "1", "failed", "500", "12",
        "00:00:01.000",
    ]  # fmt: skip
    assert any(row.split()[-2:] == ["interrupted", "interrupted"] for row in rows)
    assert api.requests[0].path.endswith("?limit=2")


def test_an_unknown_webhook_is_said_as_the_api_says_it(
    api: FakeApi, capsys: pytest.CaptureFixture[str]
) -> None:
    api.answers("GET", LOGS, (404, {"message": "There is no such webhook."}))
    assert main(["logs", str(WEBHOOK["webhook_id"])]) == 1
    assert capsys.readouterr().err == "Error: There is no such webhook.\n"


def test_what_is_not_this_api_is_told_as_such(
    api: FakeApi, capsys: pytest.CaptureFixture[str]
) -> None:
    api.answers("GET", LOGS, (404, "a page of something else"))
    assert main(["logs", str(WEBHOOK["webhook_id"])]) == 1
    assert "what answers there is not this API" in capsys.readouterr().err
