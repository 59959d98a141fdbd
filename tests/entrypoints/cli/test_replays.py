"""``webhooks replay`` and ``replays``: what they ask of the API, and what they show."""

import json

import pytest

from notification_entrypoints.cli import main
from notification_entrypoints.commands.exit_codes import Exit
from tests.entrypoints.fake_api import FakeApi
from tests.support.output import Output

WEBHOOK = "019ab5c2-7a10-7c31-9f04-6a3d7e2b1c55"
ID = "019ab6f0-2200-7b01-a2b3-c4d5e6f70819"
PATH = f"/webhooks/{WEBHOOK}/replays"
SINCE = "2026-11-24T09:00:00Z"
RUNNING = {
    "replay_id": ID,
    "webhook_id": WEBHOOK,
    "since": SINCE,
    "until": "2026-11-24T15:00:00Z",
    "states": ["cancelled", "failed", "skipped"],
    "state": "running",
    "replayed": 730,
    "created_at": "2026-11-24T15:00:00Z",
}
COMPLETED = RUNNING | {"state": "completed", "replayed": 1240}


def test_a_replay_is_waited_for(api: FakeApi, capsys: Output) -> None:
    api.responds("POST", PATH, (202, RUNNING))
    api.responds(
        "GET", f"{PATH}/{ID}", (200, RUNNING), (503, {"message": "away"}), (200, COMPLETED)
    )
    assert main(["webhooks", "replay", WEBHOOK, "--since", SINCE, "--state", "failed"]) == 0
    assert json.loads(api.bodies()[0]) == {"since": SINCE, "dry_run": False, "states": ["failed"]}
    said = capsys.readouterr().out
    assert "completed" in said
    assert "1240" in said


def test_a_detached_one_is_not(api: FakeApi, capsys: Output) -> None:
    api.responds("POST", PATH, (202, RUNNING))
    assert main(["webhooks", "replay", WEBHOOK, "--since", "2h", "--detach", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == RUNNING
    assert len(api.requests) == 1
    assert "T" in json.loads(api.bodies()[0])["since"]


@pytest.mark.parametrize(
    ("exact", "said"), [(True, "1,240 deliveries"), (False, "1,240 or more deliveries")]
)
def test_a_dry_run_says_how_many_there_are(
    api: FakeApi, capsys: Output, *, exact: bool, said: str
) -> None:
    api.responds("POST", PATH, (200, {"count": 1240, "is_exact": exact}))
    assert main(["webhooks", "replay", WEBHOOK, "--since", SINCE, "--dry-run"]) == 0
    assert json.loads(api.bodies()[0])["dry_run"] is True
    assert said in capsys.readouterr().out


def test_replays_are_listed_shown_and_cancelled(api: FakeApi, capsys: Output) -> None:
    api.responds("GET", PATH, (200, [COMPLETED]))
    api.responds("GET", f"{PATH}/{ID}", (200, RUNNING))
    api.responds("DELETE", f"{PATH}/{ID}", (204, None))
    assert main(["replays", "list", WEBHOOK]) == 0
    assert "completed" in capsys.readouterr().out
    assert main(["replays", "show", WEBHOOK, ID]) == 0
    assert "730" in capsys.readouterr().out
    assert main(["replays", "cancel", WEBHOOK, ID]) == 0
    assert capsys.readouterr().out == f"Replay {ID} is cancelled.\n"


def test_a_replay_that_cannot_be_begun_says_why(api: FakeApi, capsys: Output) -> None:
    api.responds("POST", PATH, (409, {"message": "A replay of this webhook is running."}))
    assert main(["webhooks", "replay", WEBHOOK, "--since", SINCE]) == Exit.REFUSED
    assert capsys.readouterr().err == "Error: A replay of this webhook is running.\n"
    assert main(["webhooks", "replay", WEBHOOK, "--since", "then"]) == Exit.USAGE
