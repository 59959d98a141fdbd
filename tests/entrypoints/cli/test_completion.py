"""Completion in a shell, asked as bash asks: event types and ids come from the API."""

import os
import subprocess
import sys

import pytest

from tests.entrypoints.fake_api import FakeApi

ENVIRONMENT = "0b6f2e0c-5d0c-4d7e-8a57-2f7a3f0f6f10"
TYPES = [{"name": "job-completed"}, {"name": "job-created"}, {"name": "pipeline-created"}]


def completed(line: str, url: str) -> list[str]:
    """Return what bash would offer behind the last word of a line."""
    words = f"notification-management {line}"
    asked = {
        "_NOTIFICATION_MANAGEMENT_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split(" ")) - 1),
        "NOTIFICATION_API_URL": url,
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


def test_without_an_api_nothing_is_offered_and_nothing_said() -> None:
    assert completed("events trigger job", "http://127.0.0.1:9/api") == []
