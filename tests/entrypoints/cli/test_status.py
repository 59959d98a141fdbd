"""``status``: what people and programs are shown, once and again."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from notification_entrypoints.cli import main
from notification_entrypoints.commands.exit_codes import Exit
from tests.entrypoints.fake_api import FakeApi, fake_api
from tests.support.output import Output
from tests.support.waiting import PATIENCE

STATUS = {
    "waiting": 1234,
    "waiting_is_exact": True,
    "claimed": 3,
    "webhooks_waiting": 2,
    "webhooks_paused": 4,
    "oldest_due_seconds": 61.52,
    "workers": ["019aa5b0-0000-7000-8000-000000000001"],
    "dispatching": True,
    "last_minute": {"events": 600, "succeeded": 590, "failed": 9, "interrupted": 1, "seconds": 60},
}


@pytest.fixture
def ops(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeApi]:
    with fake_api() as api:
        monkeypatch.setenv("NOTIFICATION_OPS_URL", api.url)
        yield api


def shown(capsys: Output) -> str:
    return " ".join(capsys.readouterr().out.split())


def test_people_see_whether_it_keeps_up(ops: FakeApi, capsys: Output) -> None:
    ops.responds("GET", "/status", (200, STATUS))
    assert main(["status"]) == 0
    assert shown(capsys) == (
        "waiting 1,234, of 2 webhooks claimed 3 oldest_due 1m1s500ms ago "
        "paused 4 webhooks workers 1; this process is a dispatcher last_minute 600 (10.0/s) events "
        "590 (9.8/s) attempts succeeded 9 (0.1/s) failed, 1 interrupted"
    )


def test_the_webhooks_that_need_a_look_are_named(
    ops: FakeApi, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    ids = {"environment_id": "019aa5b0-0000-7000-8000-00000000000e"}
    webhooks = [f"019aa5b0-0000-7000-8000-00000000000{number}" for number in (1, 2)]
    failing = [{**ids, "webhook_id": webhooks[0], "failed": 1200, "succeeded": 3}]
    longest = [
        {**ids, "webhook_id": webhooks[1], "waiting": 100000, "waiting_is_exact": False},
        {**ids, "webhook_id": webhooks[0], "waiting": 12, "waiting_is_exact": True},
    ]
    lists = {"failing_webhooks": failing, "longest_queues": longest}
    ops.responds("GET", "/status", (200, STATUS | lists))
    assert main(["status"]) == 0
    _, *told = capsys.readouterr().out.split("\n\n")
    assert [part.splitlines() for part in told] == [
        [
            "Failing most, within an hour",
            f"{'webhook_id':36}  {'environment_id':36}  failed  succeeded",
            f"{webhooks[0]}  {ids['environment_id']}    1200          3",
        ],
        [
            "Longest queues",
            f"{'webhook_id':36}  {'environment_id':36}  waiting",
            f"{webhooks[1]}  {ids['environment_id']}  100000+",
            f"{webhooks[0]}  {ids['environment_id']}       12",
        ],
    ]


def test_a_count_that_was_cut_and_an_idle_system_are_told(ops: FakeApi, capsys: Output) -> None:
    other = {"waiting_is_exact": False, "oldest_due_seconds": None, "dispatching": False}
    ops.responds("GET", "/status", (200, STATUS | other))
    assert main(["status"]) == 0
    said = shown(capsys)
    assert "1,234 or more" in said
    assert "no overdue deliveries" in said
    assert "not a dispatcher" in said


def test_programs_get_what_the_server_answers(ops: FakeApi, capsys: Output) -> None:
    ops.responds("GET", "/status", (200, STATUS))
    assert main(["status", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == STATUS


def test_an_unavailable_server_is_reported_with_a_hint(capsys: Output) -> None:
    assert main(["status", "--ops", "http://127.0.0.1:9"]) == Exit.UNAVAILABLE
    said = capsys.readouterr().err
    assert said.startswith("Error: The ops server at http://127.0.0.1:9 cannot be reached")
    assert "--ops" in said


def test_a_process_that_still_starts_is_told_as_such(ops: FakeApi, capsys: Output) -> None:
    ops.responds("GET", "/status", (503, {"message": "The process is starting."}))
    assert main(["status"]) == Exit.UNAVAILABLE
    said = capsys.readouterr().err
    assert said == "Error: The ops server returned 503: The process is starting.\n"


def test_what_is_no_address_is_a_wrong_call(capsys: Output) -> None:
    assert main(["status", "--ops", "localhost"]) == Exit.USAGE
    assert "like http://127.0.0.1:3616" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--json"], []])
def test_watching_goes_on_until_it_is_stopped_though_the_server_was_unavailable(
    ops: FakeApi, arguments: list[str]
) -> None:
    later = STATUS | {"waiting": 7}
    away = (503, {"message": "Not now."})
    ops.responds("GET", "/status", (200, STATUS), away, (200, later))
    command = "import sys; from notification_entrypoints.cli import main; sys.exit(main())"
    process = subprocess.Popen(  # noqa: S603 - this interpreter with our own arguments
        [sys.executable, "-c", command, "status", "--watch", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    try:
        while len(ops.requests) < 4:
            assert process.poll() is None
            time.sleep(0.02)
        process.terminate()
        said, errors = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
        process.communicate()
    assert (process.returncode, errors) == (0, "")
    if arguments:
        assert [json.loads(line) for line in said.splitlines()][:2] == [STATUS, later]
    else:
        assert "7, of 2 webhooks" in said
