"""``deliveries``: what it asks of the API, and what it shows."""

import json

import pytest

from notification_entrypoints.cli import main
from notification_entrypoints.commands.exit_codes import Exit
from tests.entrypoints.fake_api import FakeApi
from tests.support.output import Output

WEBHOOK = "019ab5c2-7a10-7c31-9f04-6a3d7e2b1c55"
ID = "019ab5c3-8a02-7d15-8e55-4b0f7a0d9e11"
DELIVERY = {
    "delivery_id": ID,
    "webhook_id": WEBHOOK,
    "event_id": "job-7-completed",
    "event": "job-completed",
    "state": "skipped",
    "reason": "webhook_disabled",
    "attempt": 0,
    "created_at": "2026-11-24T09:31:01.2Z",
}


def test_deliveries_are_listed_as_a_table(api: FakeApi, capsys: Output) -> None:
    api.responds("GET", f"/webhooks/{WEBHOOK}/deliveries", (200, [DELIVERY]))
    assert main(["deliveries", "list", WEBHOOK, "--state", "skipped"]) == 0
    said = capsys.readouterr().out
    assert ID in said
    assert "skipped  webhook_disabled" in said
    assert api.requests[0].path.endswith("?limit=20&state=skipped")
    assert main(["deliveries", "list", WEBHOOK, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == DELIVERY


ATTEMPT = {
    "attempt": 1,
    "outcome": "failed",
    "started_at": "2026-11-24T09:31:01.25Z",
    "duration_ms": 12.5,
    "error": {"code": "http_status", "message": "The receiver returned 500."},
    "request": {"method": "post", "url": "https://example.com/hook", "headers": {"X-A": "***"}},
    "response": {"http_code": 500, "headers": {"X-B": ["1", "2"]}, "body": '{"disk":"full"}'},
}


@pytest.mark.parametrize(
    ("phases", "line"),
    [
        ({"dns": 1.204, "connect": 8.61, "first_byte": 2.7}, "dns 1.2 ms, connect 8.6 ms, "),
        ({"first_byte": 11.5, "read": 1.0}, "first_byte 11.5 ms, read 1.0 ms (connection reused)"),
    ],
)
def test_the_phases_of_an_attempt_are_shown(
    api: FakeApi, capsys: Output, phases: dict[str, float], line: str
) -> None:
    attempts = [ATTEMPT | {"phases_ms": phases}]
    api.responds("GET", f"/deliveries/{ID}", (200, DELIVERY | {"attempts": attempts}))
    assert main(["deliveries", "show", ID]) == 0
    assert f"\n  Phases    {line}" in capsys.readouterr().out


def test_a_delivery_is_shown_with_each_request_and_its_response(
    api: FakeApi, capsys: Output
) -> None:
    cut = {"http_code": 500, "headers": {}, "body": "a\x1b[2J", "truncated": True}
    unknown = {"attempt": 2, "outcome": "interrupted", "started_at": "2026-11-24T09:32:00Z"}
    attempts = [ATTEMPT, unknown, ATTEMPT | {"attempt": 3, "response": cut}]
    api.responds("GET", f"/deliveries/{ID}", (200, DELIVERY | {"attempts": attempts}))
    assert main(["deliveries", "show", ID]) == 0
    said = capsys.readouterr().out
    first, second, third = said.split("\nAttempt ")[1:]
    assert first == (
        "1  failed  12.5 ms  2026-11-24 09:31:01.250 UTC\n"
        "  Error     http_status: The receiver returned 500.\n"
        "  Request   POST https://example.com/hook\n"
        "    X-A: ***\n"
        "  Response  500\n"
        "    X-B: 1, 2\n"
        "\n"
        "    {\n"
        '      "disk": "full"\n'
        "    }\n"
    )
    assert second == "2  interrupted  2026-11-24 09:32:00.000 UTC\n"
    assert "a\N{REPLACEMENT CHARACTER}[2J" in third
    assert "the log keeps no more" in third
    assert '[{"' not in said


def test_a_retry_shows_the_new_delivery(api: FakeApi, capsys: Output) -> None:
    made = DELIVERY | {"state": "pending", "origin": "retry"}
    api.responds("POST", f"/deliveries/{ID}/retry", (202, made))
    assert main(["deliveries", "retry", ID]) == 0
    assert "retry" in capsys.readouterr().out


def test_a_delivery_that_is_not_there_has_an_exit_code_of_its_own(
    api: FakeApi, capsys: Output
) -> None:
    api.responds(
        "POST", f"/deliveries/{ID}/retry", (404, {"message": "There is no such delivery."})
    )
    assert main(["deliveries", "retry", ID]) == Exit.NOT_FOUND
    assert capsys.readouterr().err == "Error: There is no such delivery.\n"
