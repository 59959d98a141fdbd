"""``events list`` and ``events show``: what they ask of the API, and what they show."""

import json

import pytest

from notification_entrypoints.cli import main
from notification_entrypoints.commands.exit_codes import Exit
from tests.entrypoints.fake_api import FakeApi
from tests.support.output import Output

ENVIRONMENT = "0b6f2e0c-5d0c-4d7e-8a57-2f7a3f0f6f10"
LIST = f"/environments/{ENVIRONMENT}/events"
SUMMARY = {
    "event_id": "job-7",
    "event": "job-completed",
    "occurred_at": "2026-03-01T00:00:00.000000Z",
    "stored_at": "2026-03-01T00:00:01.250000Z",
    "deliveries": {"pending": 0, "succeeded": 2, "failed": 0, "skipped": 1, "cancelled": 0},
}
DELIVERY = {
    "delivery_id": "019aa5b0-0000-7000-8000-000000000002",
    "webhook_id": "019aa5b0-0000-7000-8000-000000000001",
    "event_id": "job-7",
    "event": "job-completed",
    "state": "pending",
    "attempt": 1,
    "created_at": "2026-03-01T00:00:01.250000Z",
    "next_attempt_at": "2026-03-01T00:00:02.500000Z",
}


def next_page(cursor: str, path: str = LIST) -> dict[str, str]:
    return {"Link": f'</api{path}?limit=100&cursor={cursor}>; rel="next"'}


def test_events_are_listed_with_how_their_deliveries_stand(api: FakeApi, capsys: Output) -> None:
    unwanted = SUMMARY | {"event_id": "job\x1b[2J", "deliveries": dict.fromkeys(("pending",), 0)}
    api.responds("GET", LIST, (200, [SUMMARY, unwanted]))
    assert main(["events", "list", "--environment", ENVIRONMENT]) == 0
    said = capsys.readouterr().out
    assert "job-7 job-completed 2026-03-01 00:00:01.250 UTC" in " ".join(said.split())
    assert "2 succeeded, 1 skipped" in said
    assert said.splitlines()[-1].split()[-1] == "none"
    assert "\x1b" not in said


def test_events_are_filtered_and_read_page_by_page(api: FakeApi, capsys: Output) -> None:
    api.responds("GET", LIST, (200, [SUMMARY] * 100, next_page("b")), (200, [SUMMARY] * 100))
    filters = ["--event", "job-completed", "--since", "2026-03-01T00:00:00Z", "--limit", "150"]
    assert main(["events", "list", "--environment", ENVIRONMENT, *filters, "--json"]) == 0
    assert len([json.loads(line) for line in capsys.readouterr().out.splitlines()]) == 150
    first, second = (request.path for request in api.requests)
    assert "event=job-completed&since=2026-03-01T00:00:00Z" in first
    assert second.endswith("?limit=100&cursor=b")


def test_without_events_it_says_so(api: FakeApi, capsys: Output) -> None:
    api.responds("GET", LIST, (200, []))
    assert main(["events", "list", "--environment", ENVIRONMENT]) == 0
    assert capsys.readouterr().out == "There are no such events.\n"


def test_an_event_is_shown_with_all_of_its_deliveries(api: FakeApi, capsys: Output) -> None:
    path = f"{LIST}/a%2Fb%20%C3%BC"
    skipped = DELIVERY | {"state": "skipped", "reason": "webhook_disabled", "attempt": 0}
    del skipped["next_attempt_at"]
    event = SUMMARY | {"event_id": "a/b ü"}
    api.responds(
        "GET",
        path,
        (200, event | {"deliveries": [DELIVERY]}, next_page("b", path)),
        (200, event | {"deliveries": [skipped]}),
    )
    assert main(["events", "show", "a/b ü", "--environment", ENVIRONMENT]) == 0
    said = capsys.readouterr().out
    assert "a/b ü" in said
    assert "2026-03-01 00:00:02.500 UTC" in said
    assert "skipped  webhook_disabled" in said
    assert main(["events", "show", "a/b ü", "--environment", ENVIRONMENT, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["deliveries"] == [skipped]


def test_no_more_deliveries_are_read_than_asked_for(api: FakeApi, capsys: Output) -> None:
    path = f"{LIST}/job-7"
    page = (200, SUMMARY | {"deliveries": [DELIVERY] * 2}, next_page("b", path))
    api.responds("GET", path, page)
    arguments = ["events", "show", "job-7", "--environment", ENVIRONMENT, "--limit", "3"]
    assert main([*arguments, "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["deliveries"]) == 3
    assert len(api.requests) == 2


def test_an_event_that_no_webhook_wanted_is_told_as_such(api: FakeApi, capsys: Output) -> None:
    api.responds("GET", f"{LIST}/job-7", (200, SUMMARY | {"deliveries": []}))
    assert main(["events", "show", "job-7", "--environment", ENVIRONMENT]) == 0
    assert "No matching webhook" in capsys.readouterr().out


def test_an_event_that_is_none_is_not_found(api: FakeApi, capsys: Output) -> None:
    api.responds("GET", f"{LIST}/job-7", (404, {"message": "There is no such event."}))
    assert main(["events", "show", "job-7", "--environment", ENVIRONMENT]) == Exit.NOT_FOUND
    assert capsys.readouterr().err == "Error: There is no such event.\n"


EXAMPLE = {"job_id": "7", "parts": [1, 2.5]}
TYPES = [
    {"name": "job-created", "description": "…", "example": EXAMPLE},
    {"name": "job-lost", "description": "…"},
]


def test_the_example_of_a_type_is_published(api: FakeApi, capsys: Output) -> None:
    api.responds("GET", "/webhooks/events", (200, TYPES))
    api.responds("POST", LIST, (202, {"event_id": "trial 1", "duplicate": False}))
    arguments = ["events", "trigger", "job-created", "--environment", ENVIRONMENT]
    assert main([*arguments, "--event-id", "trial 1"]) == 0
    sent = json.loads(api.bodies()[0])
    assert sent == {"event_id": "trial 1", "event": "job-created", "data": EXAMPLE}
    told = capsys.readouterr()
    assert "trial 1   published" in told.out
    assert f"events show 'trial 1' --environment {ENVIRONMENT}" in told.err
    assert main([*arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"event_id": "trial 1", "duplicate": False}
    assert json.loads(api.bodies()[1])["event_id"] != "trial 1"


@pytest.mark.parametrize("name", ["job-lost", "nonsense"])
def test_a_type_without_an_example_cannot_be_triggered(
    api: FakeApi, capsys: Output, name: str
) -> None:
    api.responds("GET", "/webhooks/events", (200, TYPES))
    assert main(["events", "trigger", name, "--environment", ENVIRONMENT]) == Exit.FAILED
    assert "those with an example are job-created" in capsys.readouterr().err
    assert api.bodies() == []
