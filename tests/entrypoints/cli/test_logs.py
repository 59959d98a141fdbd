"""``logs``: the attempts of a webhook, as a table, for programs, and as they come."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import pytest

from notification_entrypoints.cli import main
from notification_entrypoints.commands.exit_codes import Exit
from tests.entrypoints.fake_api import FakeApi
from tests.support.output import Output
from tests.support.waiting import PATIENCE

ID = "019aa5b0-0000-7000-8000-000000000001"
ATTEMPT = {
    "log_id": "019aa5b0-0000-7000-8000-000000000003",
    "webhook_id": ID,
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
LOGS = f"/webhooks/{ID}/logs"


def test_attempts_are_shown_as_a_table(api: FakeApi, capsys: Output) -> None:
    interrupted = {
        name: ATTEMPT[name] for name in ("log_id", "event_id", "event", "attempt", "started_at")
    } | {"outcome": "interrupted", "error": {"code": "interrupted", "message": "Killed."}}
    api.responds("GET", LOGS, (200, [ATTEMPT, interrupted]))
    assert main(["logs", ID, "--limit", "2"]) == 0
    rows = capsys.readouterr().out.splitlines()
    first = next(row for row in rows if " failed " in row)
    assert first.split() == [
        "2026-03-01", "00:00:00.000", "UTC", "failed", "500", "12.5", "1", "job-completed",
        "evt-1", "2026-03-01", "00:00:01.000", "UTC",
    ]  # fmt: skip
    assert any(" interrupted " in row for row in rows)
    assert api.requests[0].path.endswith("?limit=2")


def test_an_unknown_webhook_is_said_as_the_api_says_it(api: FakeApi, capsys: Output) -> None:
    api.responds("GET", LOGS, (404, {"message": "There is no such webhook."}))
    assert main(["logs", ID]) == Exit.NOT_FOUND
    assert capsys.readouterr().err == "Error: There is no such webhook.\n"


def test_what_is_not_this_api_is_told_as_such(api: FakeApi, capsys: Output) -> None:
    api.responds("GET", LOGS, (404, "a page of something else"))
    assert main(["logs", ID]) == Exit.NOT_FOUND
    assert "What responds there is not this API." in capsys.readouterr().err


def test_the_ops_server_is_not_taken_for_a_wrong_path_of_the_api(
    api: FakeApi, capsys: Output
) -> None:
    message = "The ops server has /healthz, /readyz, /metrics, /status and /info."
    path = f"/environments/{ID}/events"
    api.responds("GET", path, (404, {"message": message}))
    assert main(["events", "list", "--environment", ID]) == Exit.NOT_FOUND
    assert "the API (by default http://127.0.0.1:3615/api)?" in capsys.readouterr().err


def attempt(number: int, at: int = 0, **changes: object) -> dict[str, object]:
    """Return an attempt that was logged so many seconds after the first one."""
    milliseconds = 1_764_000_000_000 + 1000 * at
    log_id = str(UUID(int=milliseconds << 80 | 7 << 76 | 2 << 62 | number))
    return ATTEMPT | {"log_id": log_id, "event_id": f"evt-{number}"} | changes


def told(process: "subprocess.Popen[str]", count: int) -> list[int]:
    """Return the numbers of the next attempts that are told."""
    numbers: list[int] = []
    while len(numbers) < count:
        (line,) = lines(process, 1)
        if " evt-" in line:
            numbers.append(int(line.partition(" evt-")[2].split()[0]))
    return numbers


def test_programs_get_attempts_as_the_api_tells_them(api: FakeApi, capsys: Output) -> None:
    api.responds("GET", LOGS, (200, [ATTEMPT]))
    assert main(["logs", ID, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == ATTEMPT


def test_an_empty_log_says_so(api: FakeApi, capsys: Output) -> None:
    api.responds("GET", LOGS, (200, []))
    assert main(["logs", ID]) == 0
    assert capsys.readouterr().out == "There are no such attempts yet.\n"


def test_more_attempts_than_a_page_holds_are_read_page_by_page(
    api: FakeApi, capsys: Output
) -> None:
    first = [attempt(200 - number) for number in range(100)]
    second = [attempt(100 - number) for number in range(100)]
    link = {"Link": f'</api{LOGS}?limit=100&cursor=abc>; rel="next"'}
    api.responds("GET", LOGS, (200, first, link), (200, second, link))
    assert main(["logs", ID, "--limit", "150", "--json"]) == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert told == first + second[:50]
    assert [request.path.partition("?")[2] for request in api.requests] == [
        "limit=100",
        "limit=100&cursor=abc",
    ]


def test_filters_are_the_apis_and_a_time_can_be_said_as_how_long_ago(api: FakeApi) -> None:
    api.responds("GET", LOGS, (200, []))
    filters = ["--outcome", "failed", "--event", "job-created", "--http-code", "500"]
    assert main(["logs", ID, *filters, "--since", "15m", "--until", "2027-01-01T00:00:00Z"]) == 0
    query = api.requests[0].path.partition("?")[2]
    assert query.startswith("limit=50&outcome=failed&event=job-created&http_code=500&since=20")
    assert query.endswith("&until=2027-01-01T00:00:00Z")
    assert "%2B00:00" in query or "+00:00" not in query, "a plus would be read as a blank"


@pytest.mark.parametrize("wrong", [["--since", "soon"], ["--limit", "0"], ["--outcome", "fine"]])
def test_a_wrong_filter_is_a_wrong_call(wrong: list[str]) -> None:
    assert main(["logs", ID, *wrong]) == Exit.USAGE


@contextmanager
def following(api: FakeApi, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    command = "import sys; from notification_entrypoints.cli import main; sys.exit(main())"
    process = subprocess.Popen(  # noqa: S603 - this interpreter with our own arguments
        [sys.executable, "-c", command, "logs", ID, "--follow", "--api", api.url, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def lines(process: "subprocess.Popen[str]", count: int) -> list[str]:
    assert process.stdout
    return [process.stdout.readline().rstrip("\n") for _ in range(count)]


def test_followed_attempts_come_oldest_first_and_none_twice(api: FakeApi) -> None:
    api.responds(
        "GET",
        LOGS,
        (200, [attempt(2, at=1), attempt(1)]),
        (200, [attempt(3, at=2), attempt(2, at=1), attempt(1)]),
        (200, [attempt(5, at=4), attempt(3, at=2), attempt(4, at=1), attempt(2, at=1)]),
    )
    with following(api) as process:
        assert told(process, 5) == [1, 2, 3, 4, 5]
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=PATIENCE)
    assert (process.returncode, rest, errors) == (0, "", "")


def test_what_was_there_before_the_shown_ones_does_not_come_as_news(api: FakeApi) -> None:
    older = attempt(1, at=0)
    shown, news = attempt(2, at=60), attempt(3, at=61)
    api.responds("GET", LOGS, (200, [shown]), (200, [news, shown, older]))
    with following(api, "--limit", "1") as process:
        assert told(process, 2) == [2, 3]
        process.terminate()
        rest, _ = process.communicate(timeout=PATIENCE)
    assert rest == ""


def test_news_are_read_back_to_what_is_known_however_many_pages_that_takes(api: FakeApi) -> None:
    link = {"Link": f'</api{LOGS}?cursor=abc>; rel="next"'}
    api.responds(
        "GET",
        LOGS,
        (200, [attempt(1)]),
        (200, [attempt(4, at=9), attempt(3, at=8)], link),
        (200, [attempt(2, at=1), attempt(1)], {}),
        (200, [attempt(4, at=9)]),
    )
    with following(api) as process:
        assert told(process, 4) == [1, 2, 3, 4]


def test_a_log_that_was_empty_is_followed_from_its_first_attempt(api: FakeApi) -> None:
    api.responds("GET", LOGS, (200, []), (200, []), (200, [attempt(2, at=9), attempt(1)]))
    with following(api) as process:
        assert told(process, 2) == [1, 2]


def test_filters_hold_for_what_comes_too(api: FakeApi) -> None:
    good = {"outcome": "succeeded", "response": {"http_code": 204}}
    known = attempt(1)
    api.responds(
        "GET",
        LOGS,
        (200, [known]),
        (200, []),
        (200, [attempt(3, at=2), attempt(2, at=1, **good), known]),
    )
    with following(api, "--outcome", "succeeded", "--json") as process:
        (line,) = lines(process, 1)
    assert json.loads(line) == attempt(2, at=1, **good)
    queries = [request.path.partition("?")[2] for request in api.requests]
    assert queries[:3] == ["limit=1", "limit=50&outcome=succeeded", "limit=100"]


def test_following_goes_on_when_the_api_was_unavailable_and_says_so_once(api: FakeApi) -> None:
    away = (503, {"message": "Not now."})
    api.responds(
        "GET", LOGS, (200, [attempt(1)]), away, away, (200, [attempt(2, at=1), attempt(1)])
    )
    with following(api) as process:
        assert told(process, 2) == [1, 2]
        process.terminate()
        _, errors = process.communicate(timeout=PATIENCE)
    assert errors == "Waiting: The API returned 503: Not now.\n"
    assert process.returncode == 0
