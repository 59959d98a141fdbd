"""``environments``: what it asks of the API, what it shows, and what it asks before."""

import json

from notification_entrypoints.cli import main
from notification_entrypoints.commands.exit_codes import Exit
from tests.entrypoints.fake_api import FakeApi
from tests.support.output import Output

ID = "0b6f2e0c-5d0c-4d7e-8a57-2f7a3f0f6f10"
ONE = f"/environments/{ID}"
RUNNING = {
    "environment_id": ID,
    "state": "running",
    "requested_at": "2026-12-01T08:00:00Z",
    "erased": 0,
}
COMPLETED = RUNNING | {"state": "completed", "erased": 48211, "ended_at": "2026-12-01T08:00:09Z"}


def test_an_environment_is_erased_only_by_one_who_says_so(api: FakeApi, capsys: Output) -> None:
    assert main(["environments", "purge", ID]) == Exit.USAGE
    assert "--yes" in capsys.readouterr().err
    assert not api.requests


def test_an_erasure_is_waited_for(api: FakeApi, capsys: Output) -> None:
    api.responds("DELETE", ONE, (202, RUNNING))
    api.responds(
        "GET", f"{ONE}/erasure", (200, RUNNING), (503, {"message": "away"}), (200, COMPLETED)
    )
    assert main(["environments", "purge", ID, "--yes"]) == 0
    said = capsys.readouterr().out
    assert "completed" in said
    assert "48211" in said


def test_a_detached_one_is_not_and_can_be_looked_at(api: FakeApi, capsys: Output) -> None:
    api.responds("DELETE", ONE, (202, RUNNING))
    api.responds("GET", f"{ONE}/erasure", (200, COMPLETED))
    assert main(["environments", "purge", ID, "--yes", "--detach", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == RUNNING
    assert len(api.requests) == 1
    assert main(["environments", "erasure", ID]) == 0
    assert "completed" in capsys.readouterr().out
