"""Completion in a shell, asked as bash asks: event types and ids come from the API."""

import os
import subprocess
import sys

import pytest

from notification_entrypoints.cli import main
from tests.entrypoints.fake_api import FakeApi

ENVIRONMENT = "0b6f2e0c-5d0c-4d7e-8a57-2f7a3f0f6f10"
TYPES = [{"name": "job-completed"}, {"name": "job-created"}, {"name": "pipeline-created"}]


WEBHOOK = "01a2c0de-0000-7000-8000-000000000001"
OTHER = "02b2c0de-0000-7000-8000-000000000002"
WEBHOOKS = [{"webhook_id": WEBHOOK, "name": "Orders"}, {"webhook_id": OTHER, "name": "Other"}]


def completed(line: str, url: str, **variables: str) -> list[str]:
    """Return what bash would offer behind the last word of a line."""
    words = f"notification-management {line}"
    asked = {
        "_NOTIFICATION_MANAGEMENT_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split(" ")) - 1),
        "NOTIFICATION_API_URL": url,
        **variables,
    }
    program = "import sys; from notification_entrypoints.cli import main; sys.exit(main())"
    done = subprocess.run(  # noqa: S603 - this interpreter with our own script
        [sys.executable, "-c", program], env=os.environ | asked, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.stderr == ""
    return [line.partition(",")[2] for line in done.stdout.splitlines() if line]


@pytest.mark.parametrize(
    "line",
    [
        f"publish --environment {ENVIRONMENT} --event job",
        "events trigger job",
        "webhooks create --event job",
        "logs --event job",
    ],
)
def test_event_types_are_offered(api: FakeApi, line: str) -> None:
    api.responds("GET", "/webhooks/events", (200, TYPES))
    assert completed(line, api.url) == ["job-completed", "job-created"]


def test_ids_are_offered(api: FakeApi) -> None:
    events = [{"event_id": "evt-1"}, {"event_id": "other"}]
    api.responds("GET", f"/environments/{ENVIRONMENT}/events", (200, events))
    api.responds("GET", "/keys", (200, [{"key_id": "019a", "name": "CI"}]))
    assert completed(f"events show --environment {ENVIRONMENT} ev", api.url) == ["evt-1"]
    assert completed("keys revoke 01", api.url) == ["019a"]


@pytest.mark.parametrize(
    "line", ["webhooks show 01", "logs 01", "stats 01", "webhooks replay 01", "deliveries list 01"]
)
def test_webhooks_of_the_chosen_environment_are_offered(api: FakeApi, line: str) -> None:
    api.responds("GET", f"/environments/{ENVIRONMENT}/webhooks", (200, WEBHOOKS))
    assert completed(line, api.url, NOTIFICATION_ENVIRONMENT=ENVIRONMENT) == [WEBHOOK]


def test_without_a_chosen_environment_those_of_the_api_keys_count(api: FakeApi) -> None:
    keys = [{"key_id": "1", "environments": [ENVIRONMENT]}, {"key_id": "2", "environments": "all"}]
    api.responds("GET", "/keys", (200, keys))
    api.responds("GET", f"/environments/{ENVIRONMENT}/webhooks", (200, WEBHOOKS))
    assert completed("publish --environment 0", api.url) == [ENVIRONMENT]
    assert completed("environments purge 0", api.url) == [ENVIRONMENT]
    assert completed("webhooks show 0", api.url) == [WEBHOOK, OTHER]


def test_the_environment_of_the_variable_is_offered_without_an_api() -> None:
    url = "http://127.0.0.1:9/api"
    line = "events list --environment 0"
    assert completed(line, url, NOTIFICATION_ENVIRONMENT=ENVIRONMENT) == [ENVIRONMENT]


def test_what_belongs_to_a_webhook_or_an_environment_is_offered(api: FakeApi) -> None:
    api.responds("GET", f"/environments/{ENVIRONMENT}/webhooks", (200, WEBHOOKS))
    of_webhook = f"/webhooks/{WEBHOOK}"
    api.responds(
        "GET", f"{of_webhook}/deliveries", (200, [{"delivery_id": "03d", "state": "failed"}])
    )
    api.responds("GET", f"/webhooks/{OTHER}/deliveries", (200, [{"delivery_id": "04e"}]))
    api.responds("GET", f"{of_webhook}/replays", (200, [{"replay_id": "05f"}]))
    api.responds("GET", f"{of_webhook}/signing-secrets", (200, [{"secret_id": "06a"}]))
    sessions = [{"session_id": "07a", "name": "Anna"}]
    api.responds("GET", f"/environments/{ENVIRONMENT}/portal-sessions", (200, sessions))
    chosen = {"NOTIFICATION_ENVIRONMENT": ENVIRONMENT}
    assert completed("deliveries show 0", api.url, **chosen) == ["03d", "04e"]
    assert completed(f"replays show {WEBHOOK} 0", api.url, **chosen) == ["05f"]
    assert completed(f"webhooks signing-secrets revoke {WEBHOOK} 0", api.url, **chosen) == ["06a"]
    assert completed(f"portal-sessions revoke {ENVIRONMENT} 0", api.url) == ["07a"]


def test_the_variable_stands_for_the_option(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    api.responds("GET", f"/environments/{ENVIRONMENT}/webhooks", (200, []))
    monkeypatch.setenv("NOTIFICATION_ENVIRONMENT", ENVIRONMENT)
    assert main(["webhooks", "list"]) == 0
    assert "no webhooks yet" in capsys.readouterr().out


def test_without_an_api_nothing_is_offered_and_nothing_said() -> None:
    assert completed("events trigger job", "http://127.0.0.1:9/api") == []
