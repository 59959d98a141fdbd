"""``publish``: what is sent, what is printed, and when it is retried."""

import io
import json
import os
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from threading import Timer

import pytest

from notification_core.model.event import MAX_EVENT_BYTES
from notification_entrypoints.cli import main
from notification_entrypoints.commands.exit_codes import Exit
from tests.entrypoints.fake_api import FakeApi, fake_api
from tests.support.waiting import PATIENCE

ENVIRONMENT = "0b6f2e0c-5d0c-4d7e-8a57-2f7a3f0f6f10"
PATH = f"/environments/{ENVIRONMENT}/events"
LINE = b'{"event_id":"evt-1","event":"job-created","data":{}}'


def published(number: int, *, duplicate: bool = False) -> tuple[int, object]:
    return 202, [{"event_id": f"evt-{n}", "duplicate": duplicate} for n in range(number)]


def publish(api: FakeApi | str, *arguments: str) -> int:
    url = api if isinstance(api, str) else api.url
    return main(["publish", "--environment", ENVIRONMENT, "--api", url, *arguments])


def lines(folder: Path, *messages: bytes) -> str:
    file = folder / "events.jsonl"
    file.write_bytes(b"\n".join(messages) + b"\n")
    return str(file)


def test_lines_are_published_in_their_order_and_as_they_are(
    api: FakeApi, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spaced = b'{ "event_id": "evt-2", "event" : "job-created", "data": { "b": 1.50, "a": 2 } }'
    api.responds("POST", PATH, published(2))
    assert publish(api, lines(tmp_path, LINE, b"", b"  ", spaced)) == 0
    assert api.bodies() == [b"[" + LINE + b"," + spaced + b"]"]
    output = capsys.readouterr()
    assert [line.split() for line in output.out.splitlines()] == [
        ["event_id", "outcome"],
        ["evt-0", "published"],
        ["evt-1", "published"],
    ]
    assert output.err.endswith("2 published, 0 duplicates.\n")


def test_a_single_event_may_be_given_its_id_so_that_it_can_be_repeated(api: FakeApi) -> None:
    api.responds("POST", PATH, published(1), published(1, duplicate=True))
    for _ in range(2):
        assert publish(api, "--event", "job-created", "--data", "{}", "--event-id", "job-7") == 0
    assert {*api.bodies()} == {b'[{"event":"job-created","event_id":"job-7","data":{}}]'}
    assert publish(api, "--event", "job-created", "--data", "{}", "--event-id", "") == Exit.USAGE


@pytest.mark.parametrize("wait", ["0", "0.5", "30", "5m"])
def test_the_time_of_retries_is_a_duration_or_a_number_of_seconds(
    api: FakeApi, tmp_path: Path, wait: str
) -> None:
    api.responds("POST", PATH, published(1))
    assert publish(api, lines(tmp_path, LINE), "--retry-for", wait) == 0


@pytest.mark.parametrize("wait", ["-1", "soon", "3601", "2h", "nan", ""])
def test_a_time_of_retries_that_is_not_one_is_told_what_one_looks_like(
    api: FakeApi, tmp_path: Path, wait: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert publish(api, lines(tmp_path, LINE), "--retry-for", wait) == Exit.USAGE
    assert f"{wait!r} is not a duration of at most 1h, like 30s." in capsys.readouterr().err


def test_events_go_in_batches_of_500(
    api: FakeApi, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    api.responds("POST", PATH, published(500), published(500), published(1, duplicate=True))
    assert publish(api, lines(tmp_path, *[LINE] * 1_001)) == 0
    assert [len(json.loads(body)) for body in api.bodies()] == [500, 500, 1]
    output = capsys.readouterr()
    assert len(output.out.splitlines()) == 1_002
    assert output.out.splitlines()[-1].split() == ["evt-0", "duplicate"]
    assert output.err.endswith("1,000 published, 1 duplicate.\n")
    assert "500 events acknowledged\n1,000 events acknowledged\n" in output.err


def test_a_batch_has_at_most_8_mib(api: FakeApi, tmp_path: Path) -> None:
    large = b'{"event_id":"evt-1","event":"job-created","data":"' + b"x" * 1_000_000 + b'"}'
    api.responds("POST", PATH, published(8), published(2))
    assert publish(api, lines(tmp_path, *[large] * 10)) == 0
    assert [len(json.loads(body)) for body in api.bodies()] == [8, 2]


def test_an_event_without_id_gets_one_before_the_first_try(api: FakeApi, tmp_path: Path) -> None:
    api.responds("POST", PATH, (503, {"message": "The storage is unavailable."}), published(1))
    assert publish(api, lines(tmp_path, b'{"event":"job-created","data":{"a": 1}}')) == 0
    first, second = api.bodies()
    assert first == second
    assert first.endswith(b',"event":"job-created","data":{"a": 1}}]')
    assert json.loads(first)[0]["event_id"]


def test_standard_input_is_a_file_too(api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(LINE)))
    api.responds("POST", PATH, published(1))
    assert publish(api, "-") == 0
    assert api.bodies() == [b"[" + LINE + b"]"]


def test_a_single_event_is_published_by_options(
    api: FakeApi, capsys: pytest.CaptureFixture[str]
) -> None:
    api.responds("POST", PATH, published(1))
    assert publish(api, "--event", "job-created", "--data", '{ "a": 1 }') == 0
    assert b'"event":"job-created","data":{ "a": 1 }}]' in api.bodies()[0]
    output = capsys.readouterr()
    assert "evt-0" in output.out
    assert output.err == "1 published, 0 duplicates.\n"


def test_a_refused_batch_is_named_by_the_lines_of_the_file(
    api: FakeApi, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    details = [
        {"field": "[1].event", "message": "Unknown event type 'x'."},
        {"field": "[2]", "message": "This is not JSON."},
    ]
    api.responds("POST", PATH, (400, {"message": "The event is refused.", "details": details}))
    assert publish(api, lines(tmp_path, LINE, b"", LINE, b"", LINE)) == Exit.REFUSED
    assert capsys.readouterr().err == (
        "Error: Lines 1 to 5 are refused.\n"
        "  line 3, event: Unknown event type 'x'.\n"
        "  line 5: This is not JSON.\n"
        "  Before that: 0 published, 0 duplicates.\n"
    )


def test_what_is_no_json_object_is_refused_before_it_is_sent(
    api: FakeApi, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for wrong in (b"nonsense", b"[]", b'{"a":'):
        assert publish(api, lines(tmp_path, LINE, wrong)) == Exit.REFUSED
        assert "Line 2 of" in capsys.readouterr().err
    assert not api.requests


def test_a_line_over_1_mib_is_refused_before_it_is_sent(
    api: FakeApi, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert publish(api, lines(tmp_path, LINE, b"x" * (MAX_EVENT_BYTES + 1))) == Exit.REFUSED
    assert "Line 2 of" in (said := capsys.readouterr().err)
    assert "has more than 1,048,576 bytes" in said


def test_a_batch_that_makes_too_many_deliveries_is_cut_in_parts(
    api: FakeApi, tmp_path: Path
) -> None:
    api.responds("POST", PATH, (413, {"message": "Too many."}), published(2), published(2))
    assert publish(api, lines(tmp_path, *[LINE] * 4)) == 0
    assert [len(json.loads(body)) for body in api.bodies()] == [4, 2, 2]


def test_an_api_that_stays_unavailable_is_reported_in_a_sentence_with_a_hint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/api"
    assert publish(url, lines(tmp_path, LINE), "--retry-for", "0.2") == Exit.UNAVAILABLE
    said = capsys.readouterr().err
    assert f"The API at {url} cannot be reached" in said
    assert "`notification-management up`" in said
    assert "Before that: 0 published" in said
    assert "Traceback" not in said


def test_a_server_that_is_only_just_starting_is_waited_for(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    started: list[FakeApi] = []
    with ExitStack() as stack:

        def start() -> None:
            planned = ("POST", PATH, published(1))
            started.append(stack.enter_context(fake_api(port, planned)))

        timer = Timer(0.3, start)
        timer.start()
        assert publish(f"http://127.0.0.1:{port}/api", lines(tmp_path, LINE)) == 0
        timer.join()
    assert started[0].bodies() == [b"[" + LINE + b"]"]


# What a script starts with `&` ignores Ctrl-C, and has to handle SIGTERM all the same.
@pytest.mark.parametrize("shell", [[], ["sh", "-c", 'trap "" INT; exec "$@"', "sh"]])
def test_a_publisher_that_is_stopped_says_how_far_it_came(
    api: FakeApi, tmp_path: Path, shell: list[str]
) -> None:
    api.responds("POST", PATH, published(500), (503, {"message": "The storage is unavailable."}))
    script = "import sys; from notification_entrypoints.cli import main; sys.exit(main())"
    file = lines(tmp_path, *[LINE] * 600)
    with subprocess.Popen(  # noqa: S603 - this interpreter with our own arguments
        [*shell, sys.executable, "-c", script, "publish", "-q", "--environment", ENVIRONMENT, file],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"NOTIFICATION_API_URL": api.url},
    ) as process:
        assert process.stderr
        while "Retrying" not in process.stderr.readline():
            assert process.poll() is None
        process.terminate()
        _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == Exit.INTERRUPTED
    assert said.splitlines()[-1] == "Error: Interrupted; 500 published."


def test_the_key_is_sent_and_never_shown(
    api: FakeApi,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("NOTIFICATION_API_KEY", "whk_made-up")
    api.responds("POST", PATH, (401, {"message": "Who are you?"}))
    assert publish(api, lines(tmp_path, LINE)) == Exit.DENIED
    assert api.requests[0].authorization == "Bearer whk_made-up"
    output = capsys.readouterr()
    assert "Who are you?" in output.err
    assert "whk_made-up" not in output.err + output.out


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--event", "job-created"],
        ["--data", "{}"],
        ["no-such-file.jsonl"],
        ["--event", "job-created", "--data", "nonsense"],
        ["--api", "nonsense", "--event", "job-created", "--data", "{}"],
    ],
)
def test_a_wrong_call_is_a_usage_error(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert publish("http://127.0.0.1:9/api", *arguments) == 2
    assert "Usage: notification-management publish" in capsys.readouterr().err


def test_programs_get_each_event_as_the_api_returns_it(
    api: FakeApi, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    api.responds("POST", PATH, published(1, duplicate=True))
    assert publish(api, lines(tmp_path, LINE), "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"event_id": "evt-0", "duplicate": True}


def test_totals_alone_are_printed_on_request(
    api: FakeApi, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for form in ([], ["--json"]):
        api.responds("POST", PATH, published(1))
        assert publish(api, lines(tmp_path, LINE), "--quiet", *form) == 0
        output = capsys.readouterr()
        assert output.out == ""
        assert output.err.endswith("1 published, 0 duplicates.\n")
