"""How rows, objects and times are laid out: what fits is a table, and nothing is ever cut."""

import csv
import io
import json
import string
import time
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from notification_entrypoints.cli import main
from notification_entrypoints.cli.tables import Rows, Style
from notification_entrypoints.commands.exit_codes import Exit
from tests.entrypoints.fake_api import FakeApi
from tests.support.output import Output

GOLDEN = Path(__file__).parent / "golden"
ENVIRONMENT = "0b6f2e0c-5d0c-4d7e-8a57-2f7a3f0f6f10"
WEBHOOK_ID = "019ab5c2-7a10-7c31-9f04-6a3d7e2b1c55"
DELIVERY_ID = "019ab5c3-8a02-7d15-8e55-4b0f7a0d9e11"
KEY_ID = "019ab5c3-0000-7d15-8e55-4b0f7a0d9e11"
WEBHOOK = {
    "webhook_id": WEBHOOK_ID,
    "environment_id": ENVIRONMENT,
    "name": "Tickets",
    "url": "https://tickets.example.com/webhooks/jobs",
    "method": "post",
    "events": ["job-completed", "pipeline-completed"],
    "custom_headers": {"X-Tenant": "north", "X-Token": "***"},
    "filter": {"properties": {"data": {"required": ["status"]}}},
    "created_at": "2024-03-01T08:00:00Z",
    "last_errored": {"log_id": DELIVERY_ID, "at": "2024-03-01T09:00:00Z", "http_code": 500},
}
REQUEST = {
    "method": "post",
    "url": "https://tickets.example.com/webhooks/jobs",
    "headers": {"Content-Type": "application/json", "X-Token": "***", "webhook-attempt": "1"},
}
FAILED = {
    "log_id": "019ab5c3-8e40-7f02-b1ce-95f0d5c2a7d4",
    "webhook_id": WEBHOOK_ID,
    "delivery_id": DELIVERY_ID,
    "event_id": "5c9aa5b0-8a02-4d15-8e55-4b0f7a0d9e11",
    "event": "job-completed",
    "attempt": 1,
    "outcome": "failed",
    "error": {
        "code": "http_status",
        "message": "The receiver responded with 500; 2xx is expected.",
    },
    "request": REQUEST,
    "response": {
        "http_code": 500,
        "headers": {"Content-Type": "application/json"},
        "body": '{"error":"out of disk"}',
        "truncated": False,
    },
    "started_at": "2024-11-24T09:31:01.25Z",
    "duration_ms": 38.5,
    "next_attempt_at": "2024-11-24T09:31:02.4Z",
}
TIMED_OUT = {name: value for name, value in FAILED.items() if name != "response"} | {
    "attempt": 2,
    "error": {"code": "timeout", "message": "The receiver did not answer within 10 s."},
    "duration_ms": 10_003.2,
}
SUCCEEDED = {name: value for name, value in FAILED.items() if name != "error"} | {
    "attempt": 3,
    "outcome": "succeeded",
    "response": {"http_code": 204, "headers": {}, "body": "", "truncated": False},
}
DELIVERY = {
    "delivery_id": DELIVERY_ID,
    "webhook_id": WEBHOOK_ID,
    "event_id": FAILED["event_id"],
    "event": "job-completed",
    "state": "pending",
    "attempt": 1,
    "created_at": "2024-11-24T09:31:01.2Z",
    "next_attempt_at": "2024-11-24T09:31:02.4Z",
}
SKIPPED = DELIVERY | {"state": "skipped", "reason": "webhook_disabled", "attempt": 0}
KEY = {
    "key_id": KEY_ID,
    "name": "Publisher",
    "scope": "write",
    "environments": [ENVIRONMENT],
    "state": "active",
    "created_at": "2024-11-24T09:31:01Z",
    "expires_at": "2027-06-30T00:00:00Z",
}
EVENT = {
    "event_id": FAILED["event_id"],
    "event": "job-completed",
    "occurred_at": "2024-11-24T09:31:01Z",
    "stored_at": "2024-11-24T09:31:01.1Z",
}
TYPES = [
    {"name": "job-completed", "description": "A job has ended, whether it succeeded or not."},
    {
        "name": "pipeline-extraction-progress",
        "description": "A pipeline extracts its files, and this is how much of them it has read.",
    },
]
SETTINGS = {
    "id": "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
    "status": "active",
    "hex": "00" * 32,
    "base64": "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
    "pem": "",
    "whpk": "whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
}
EVENTS = f"/environments/{ENVIRONMENT}/events"
COMMANDS = {
    "webhooks-list": ["webhooks", "list", "--environment", ENVIRONMENT],
    "webhooks-show": ["webhooks", "show", WEBHOOK_ID],
    "deliveries-list": ["deliveries", "list", WEBHOOK_ID],
    "deliveries-show": ["deliveries", "show", DELIVERY_ID],
    "events-types": ["events", "types"],
    "events-list": ["events", "list", "--environment", ENVIRONMENT],
    "events-show": ["events", "show", str(EVENT["event_id"]), "--environment", ENVIRONMENT],
    "logs": ["logs", WEBHOOK_ID],
    "keys-list": ["keys", "list"],
    "settings": ["settings", "--environment", ENVIRONMENT],
}


@pytest.fixture
def filled(api: FakeApi) -> FakeApi:
    disabled = {"disabled_until": "9999-12-31T23:59:59Z", "disabled_reason": "gone"}
    counted = EVENT | {"deliveries": {"succeeded": 2, "skipped": 1, "pending": 0}}
    keys = {"public_verification_key": SETTINGS, "verification_keys": [SETTINGS]}
    responses: dict[str, object] = {
        f"/environments/{ENVIRONMENT}/webhooks": [WEBHOOK, WEBHOOK | disabled],
        f"/webhooks/{WEBHOOK_ID}": WEBHOOK,
        f"/webhooks/{WEBHOOK_ID}/deliveries": [DELIVERY, SKIPPED],
        f"/webhooks/{WEBHOOK_ID}/logs": [SUCCEEDED, TIMED_OUT, FAILED],
        f"/deliveries/{DELIVERY_ID}": DELIVERY | {"attempts": [FAILED, TIMED_OUT, SUCCEEDED]},
        "/webhooks/events": TYPES,
        EVENTS: [counted],
        f"{EVENTS}/{EVENT['event_id']}": EVENT | {"deliveries": [DELIVERY, SKIPPED]},
        "/keys": [KEY],
        f"/environments/{ENVIRONMENT}/settings": keys,
    }
    for path, response in responses.items():
        api.responds("GET", path, (200, response))
    return api


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.usefixtures("filled")
def test_output_is_as_recorded(
    monkeypatch: pytest.MonkeyPatch, capsys: Output, name: str, width: int
) -> None:
    """Delete a file of the folder golden to record it again; then read it before you commit it."""
    monkeypatch.setenv("COLUMNS", str(width))
    assert main(COMMANDS[name]) == 0
    shown = capsys.readouterr().out
    golden = GOLDEN / f"{name}-{width}.txt"
    if not golden.exists():
        golden.write_text(shown)
        pytest.fail(f"{golden.name} was not there: it is recorded now")
    assert shown == golden.read_text()


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("width", [20, 79, 100, 200])
@pytest.mark.usefixtures("filled")
def test_ids_are_whole_at_every_width(
    monkeypatch: pytest.MonkeyPatch, capsys: Output, name: str, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    assert main(COMMANDS[name]) == 0
    shown = capsys.readouterr().out
    ids = (WEBHOOK_ID, DELIVERY_ID, KEY_ID, SETTINGS["id"], str(FAILED["event_id"]))
    assert [shown.count(value) for value in ids] == [shown.count(value[:13]) for value in ids]


@pytest.mark.usefixtures("filled")
def test_a_list_can_be_had_as_csv_with_the_values_of_the_api(capsys: Output) -> None:
    assert main([*COMMANDS["deliveries-list"], "--output", "csv"]) == 0
    first, second = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert first["delivery_id"] == DELIVERY_ID
    assert first["created_at"] == DELIVERY["created_at"]
    assert (second["state"], second["reason"]) == ("skipped", "webhook_disabled")


@pytest.mark.usefixtures("filled")
def test_json_has_one_object_per_line(capsys: Output) -> None:
    assert main([*COMMANDS["logs"], "--output", "json"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line) for line in lines] == [SUCCEEDED, TIMED_OUT, FAILED]


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize(
    "wrong", [["--json", "-o", "csv"], ["-o", "yaml"], ["--json", "--output", "table"]]
)
def test_one_form_of_output_is_asked_for(wrong: list[str]) -> None:
    assert main([*COMMANDS["logs"], *wrong]) == Exit.USAGE


def test_an_object_is_not_csv(capsys: Output) -> None:
    assert main(["webhooks", "show", WEBHOOK_ID, "--output", "csv"]) == Exit.USAGE
    assert "'table', 'json'" in capsys.readouterr().err


NOW = datetime(2026, 11, 28, 21, 15, tzinfo=UTC)


@pytest.mark.parametrize(
    ("instant", "shown"),
    [
        ("2026-11-28T21:10:24.5Z", "16:10:24 EST"),
        ("2026-11-28T03:10:24Z", "Nov 27 22:10 EST"),
        ("2026-07-01T12:00:00Z", "Jul 01 08:00 EDT"),
        ("2025-11-28T21:10:24Z", "2025-11-28 16:10 EST"),
        ("9999-12-31T23:59:59Z", "9999-12-31 18:59 EST"),
        ("soon", "soon"),
    ],
)
def test_times_are_short_and_name_their_zone(instant: str, shown: str) -> None:
    assert Style(80, ZoneInfo("America/New_York"), NOW).short_time(instant) == shown


@pytest.mark.usefixtures("filled")
def test_times_are_in_utc_on_request(monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    assert main(COMMANDS["logs"]) == 0
    assert "2024-11-24 04:31:01.250 EST" in capsys.readouterr().out
    assert main([*COMMANDS["logs"], "--utc"]) == 0
    assert "2024-11-24 09:31:01.250 UTC" in capsys.readouterr().out


_cells = st.text(string.ascii_letters + "日 é", max_size=40).map(
    lambda text: " ".join(text.split())
)
_rows = st.lists(st.tuples(_cells, _cells, st.integers(0, 10**9)), min_size=1, max_size=5)


@given(_rows, st.integers(1, 200))
def test_each_value_is_whole_and_a_table_fits(rows: list[tuple[str, str, int]], width: int) -> None:
    columns = ("name", "id", "attempt")
    lines = [line.plain for line in Rows(columns, Style(width)).lines(rows)]
    for row in rows:
        assert all(any(str(value) in line for line in lines) for value in row)
    if lines[0].split()[-1] == "attempt":
        assert max(cell_len(line) for line in lines) <= width


@given(_rows, _rows, st.integers(1, 200))
def test_what_follows_is_laid_out_like_what_came_first(
    first: list[tuple[str, str, int]], second: list[tuple[str, str, int]], width: int
) -> None:
    columns = ("event", "event_id", "attempt")
    following = Rows(columns, Style(width), goes_on=True)
    head, *_ = [line.plain for line in following.lines(first)]
    more = [line.plain for line in following.lines(second)]
    if head.startswith("event: "):
        assert sum(line.startswith("event: ") for line in more) == sum(
            bool(event) for event, _, _ in second
        )
    elif head.startswith("event "):
        assert len(more) == len(second)
