"""``webhooks``, ``events types`` and ``settings``: what they ask of the API, and what they show."""

import json
from pathlib import Path
from typing import Any

import pytest

from notification_entrypoints.cli import main
from notification_entrypoints.commands.exit_codes import Exit
from tests.entrypoints.fake_api import FakeApi
from tests.support.output import Output

ENVIRONMENT = "0b6f2e0c-5d0c-4d7e-8a57-2f7a3f0f6f10"
WEBHOOK = {
    "webhook_id": "019aa5b0-0000-7000-8000-000000000001",
    "environment_id": ENVIRONMENT,
    "name": "Tickets",
    "url": "https://example.com/hook",
    "method": "post",
    "events": ["job-completed"],
    "created_at": "2026-03-01T00:00:00Z",
}
LIST = f"/environments/{ENVIRONMENT}/webhooks"
ONE = f"/webhooks/{WEBHOOK['webhook_id']}"
ID = str(WEBHOOK["webhook_id"])


def test_webhooks_are_listed_as_a_table(api: FakeApi, capsys: Output) -> None:
    disabled = {"disabled_until": "9999-12-31T23:59:59Z", "disabled_reason": "gone"}
    unknown = {"events": ["job-completed", "job-lost"], "unknown_events": ["job-lost"]}
    old = WEBHOOK | {"name": "Old\x1b[2J"} | disabled | unknown
    api.responds("GET", LIST, (200, [WEBHOOK, old]))
    assert main(["webhooks", "list", "--environment", ENVIRONMENT]) == 0
    said = capsys.readouterr().out
    assert str(WEBHOOK["webhook_id"]) in said
    assert "post    https://example.com/hook" in said
    assert "disabled (gone)" in said
    assert "job-completed, job-lost (unknown)" in " ".join(said.split())
    assert "\x1b" not in said


def test_times_of_a_state_are_written_as_those_of_columns(api: FakeApi, capsys: Output) -> None:
    later = "2999-03-01T12:00:00.204456Z"
    health = {"state": "paused", "consecutive_failures": 5, "next_probe_at": later}
    api.responds(
        "GET", LIST, (200, [WEBHOOK | {"health": health}, WEBHOOK | {"disabled_until": later}])
    )
    assert main(["webhooks", "list", "--environment", ENVIRONMENT, "--utc"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "paused (5 failures in a row, next try 2999-03-01 12:00:00.204 UTC)" in said
    assert "disabled until 2999-03-01 12:00:00.204 UTC" in said


def test_a_webhook_is_created(api: FakeApi, capsys: Output) -> None:
    api.responds("POST", LIST, (201, WEBHOOK))
    arguments = ["--url", "https://example.com/hook", "--name", "Tickets", "--method", "put"]
    events = ["--event", "job-completed", "--event", "job-created"]
    assert main(["webhooks", "create", "--environment", ENVIRONMENT, *arguments, *events]) == 0
    assert json.loads(api.bodies()[0]) == {
        "name": "Tickets",
        "url": "https://example.com/hook",
        "method": "put",
        "events": ["job-completed", "job-created"],
    }
    assert str(WEBHOOK["webhook_id"]) in capsys.readouterr().out


def test_a_webhook_without_named_events_gets_all_there_are(api: FakeApi) -> None:
    api.responds("GET", "/webhooks/events", (200, [{"name": "a"}, {"name": "b"}]))
    api.responds("POST", LIST, (201, WEBHOOK))
    url = "https://example.com/hook"
    assert main(["webhooks", "create", "--environment", ENVIRONMENT, "--url", url]) == 0
    assert json.loads(api.bodies()[0])["events"] == ["a", "b"]


def test_a_refused_webhook_says_which_field_and_why(api: FakeApi, capsys: Output) -> None:
    detail = {"field": "url", "message": "Loopback is not allowed."}
    api.responds("GET", "/webhooks/events", (200, [{"name": "a"}]))
    api.responds("POST", LIST, (400, {"message": "Wrong: see the details.", "details": [detail]}))
    assert (
        main(["webhooks", "create", "--environment", ENVIRONMENT, "--url", "http://x"])
        == Exit.REFUSED
    )
    said = capsys.readouterr().err
    assert said == "Error: The API refuses this: url: Loopback is not allowed.\n"


def test_programs_get_webhooks_as_the_api_tells_them(api: FakeApi, capsys: Output) -> None:
    api.responds("GET", LIST, (200, [WEBHOOK]))
    assert main(["webhooks", "list", "--environment", ENVIRONMENT, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == WEBHOOK


def test_an_environment_without_webhooks_is_told_how_to_get_one(
    api: FakeApi, capsys: Output
) -> None:
    api.responds("GET", LIST, (200, []))
    assert main(["webhooks", "list", "--environment", ENVIRONMENT]) == 0
    assert "webhooks create" in capsys.readouterr().out


def test_a_webhook_is_created_with_headers_and_a_description(api: FakeApi) -> None:
    api.responds("POST", LIST, (201, WEBHOOK))
    arguments = ["--environment", ENVIRONMENT, "--url", "https://x.example", "--event", "a"]
    more = ["--header", "X-Tenant: north", "--header", "X-Time:09:30", "--description", "Tickets"]
    assert main(["webhooks", "create", *arguments, *more]) == 0
    sent = json.loads(api.bodies()[0])
    assert sent["custom_headers"] == {"X-Tenant": "north", "X-Time": "09:30"}
    assert sent["description"] == "Tickets"


def test_a_header_without_a_colon_is_a_wrong_call(capsys: Output) -> None:
    arguments = ["--environment", ENVIRONMENT, "--url", "https://x.example", "--header", "X"]
    assert main(["webhooks", "create", *arguments]) == Exit.USAGE
    assert "'Name: value'" in capsys.readouterr().err


def test_a_webhook_is_shown_field_by_field(api: FakeApi, capsys: Output) -> None:
    api.responds("GET", ONE, (200, WEBHOOK | {"custom_headers": {"X-Token": "***"}}))
    assert main(["webhooks", "show", ID]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["name", "Tickets"] in lines
    assert ["X-Token", "***"] in lines
    assert main(["webhooks", "show", ID, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "Tickets"


def put(api: FakeApi, *arguments: str, stored: dict[str, object] | None = None) -> dict[str, Any]:
    """Run a command that changes the webhook; return what was put."""
    api.responds("GET", ONE, (200, WEBHOOK | (stored or {}), {"ETag": '"7"'}))
    api.responds("PUT", ONE, (200, WEBHOOK))
    assert main(["webhooks", *arguments]) == 0
    (written,) = [request for request in api.requests if request.method == "PUT"]
    assert written.if_match == '"7"'
    body: dict[str, Any] = json.loads(written.body)
    return body


def test_an_update_changes_what_is_given_and_nothing_else(api: FakeApi) -> None:
    stored: dict[str, object] = {"description": "Old", "custom_headers": {"Authorization": "***"}}
    assert put(api, "update", ID, "--name", "New", stored=stored) == WEBHOOK | stored | {
        "name": "New"
    }


def test_an_update_adds_replaces_and_removes_headers(api: FakeApi) -> None:
    stored: dict[str, object] = {"custom_headers": {"X-A": "1", "X-B": "2", "X-C": "3"}}
    changes = ["--header", "x-a: 9", "--header", "X-D: 4", "--remove-header", "x-b"]
    sent = put(api, "update", ID, *changes, stored=stored)
    assert sent["custom_headers"] == {"X-C": "***", "x-a": "9", "X-D": "4"}


def test_an_update_can_remove_the_last_header_and_the_description(api: FakeApi) -> None:
    stored: dict[str, object] = {"custom_headers": {"X-A": "1"}, "description": "Old"}
    changes = ["--remove-header", "X-A", "--description", ""]
    sent = put(api, "update", ID, *changes, stored=stored)
    assert "custom_headers" not in sent
    assert "description" not in sent


def test_an_update_of_nothing_is_a_wrong_call(capsys: Output) -> None:
    assert main(["webhooks", "update", ID]) == Exit.USAGE
    assert "Say what is to change" in capsys.readouterr().err


def test_a_webhook_is_disabled_until_a_time_or_permanently(api: FakeApi) -> None:
    until = ["--until", "2026-12-24T18:00:00Z"]
    assert put(api, "disable", ID, *until)["disabled_until"] == "2026-12-24T18:00:00Z"
    api.requests.clear()
    assert put(api, "disable", ID)["disabled_until"] == "9999-12-31T23:59:59Z"


def test_a_time_that_is_none_is_a_wrong_call(capsys: Output) -> None:
    assert main(["webhooks", "disable", ID, "--until", "tomorrow"]) == Exit.USAGE
    assert "2026-12-24T18:00:00Z" in capsys.readouterr().err


def test_a_time_that_is_over_disables_nothing(capsys: Output) -> None:
    assert main(["webhooks", "disable", ID, "--until", "2020-01-01T00:00:00Z"]) == Exit.USAGE
    assert "is in the past" in capsys.readouterr().err


def test_a_webhook_is_enabled_again(api: FakeApi) -> None:
    stored: dict[str, object] = {"disabled_until": "9999-12-31T23:59:59Z"}
    assert "disabled_until" not in put(api, "enable", ID, stored=stored)


def test_what_somebody_else_changed_meanwhile_is_not_overwritten(
    api: FakeApi, capsys: Output
) -> None:
    api.responds("GET", ONE, (200, WEBHOOK, {"ETag": '"7"'}))
    api.responds("PUT", ONE, (412, {"message": "The webhook was changed: read it again."}))
    assert main(["webhooks", "enable", ID]) == Exit.REFUSED
    assert capsys.readouterr().err == "Error: The webhook was changed: read it again.\n"


def test_a_webhook_is_deleted_only_by_one_who_says_so(api: FakeApi, capsys: Output) -> None:
    api.responds("DELETE", ONE, (204, None))
    assert main(["webhooks", "delete", ID]) == Exit.USAGE
    assert "--yes" in capsys.readouterr().err
    assert not api.requests
    assert main(["webhooks", "delete", ID, "--yes"]) == 0
    assert capsys.readouterr().out == f"Webhook {ID} is deleted.\n"
    assert main(["webhooks", "delete", ID, "--yes", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"deleted": ID}


ATTEMPT = {
    "log_id": "019ab5c3-9300-7a11-8d2e-3f4a5b6c7d8e",
    "event_id": "test-019ab5c3-92ef-7c33-af40-5b6c7d8e9fa0",
    "event": "job-completed",
    "attempt": 1,
    "outcome": "succeeded",
    "started_at": "2026-11-24T09:32:00.25Z",
    "response": {"http_code": 204},
    "duration_ms": 43.5,
}


def test_a_webhook_is_tried_out_and_its_response_shown(api: FakeApi, capsys: Output) -> None:
    api.responds("POST", f"{ONE}/test", (200, ATTEMPT))
    assert main(["webhooks", "test", ID, "--event", "job-completed"]) == 0
    assert json.loads(api.bodies()[0]) == {"event": "job-completed"}
    said = capsys.readouterr().out
    assert all(each in said for each in ("Attempt 1", "succeeded", "204", "43.5 ms"))
    assert main(["webhooks", "test", ID, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == ATTEMPT


def test_a_receiver_that_fails_is_told_by_the_exit_code(api: FakeApi, capsys: Output) -> None:
    error = {"code": "http_status", "message": "The receiver responded with 500; 2xx is expected."}
    failed = ATTEMPT | {"outcome": "failed", "response": {"http_code": 500}, "error": error}
    api.responds("POST", f"{ONE}/test", (200, failed))
    assert main(["webhooks", "test", ID]) == Exit.FAILED
    told = capsys.readouterr()
    assert "500" in told.out
    assert told.err == "Error: The receiver responded with 500; 2xx is expected.\n"


def test_what_is_not_there_has_an_exit_code_of_its_own(api: FakeApi, capsys: Output) -> None:
    api.responds("GET", ONE, (404, {"message": "There is no such webhook."}))
    assert main(["webhooks", "show", ID]) == Exit.NOT_FOUND
    assert capsys.readouterr().err == "Error: There is no such webhook.\n"


def test_an_unavailable_api_has_an_exit_code_of_its_own(capsys: Output) -> None:
    nowhere = ["--api", "http://127.0.0.1:9/api"]
    assert main(["events", "types", *nowhere]) == Exit.UNAVAILABLE
    said = capsys.readouterr().err
    assert said == (
        "Error: The API at http://127.0.0.1:9/api cannot be reached (connection refused); start it "
        "with `notification-management up`, or say where it is with --api.\n"
    )


def test_a_server_of_something_else_is_told_as_such(api: FakeApi, capsys: Output) -> None:
    api.responds("GET", "/webhooks/events", (200, "a page", {"Content-Type": "text/html"}))
    assert main(["events", "types"]) == Exit.FAILED
    assert capsys.readouterr().err == f"Error: What responds at {api.url} is not our API.\n"


def test_event_types_are_listed_with_what_they_mean(api: FakeApi, capsys: Output) -> None:
    types = [
        {"name": "job-completed", "description": "A job is done.", "schema": {}},
        {"name": "job-lost", "description": "A job is lost.", "deprecated": True},
    ]
    api.responds("GET", "/webhooks/events", (200, types))
    assert main(["events", "types"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["job-completed", "A", "job", "is", "done."] in lines
    assert ["job-lost", "Deprecated.", "A", "job", "is", "lost."] in lines
    assert main(["events", "types", "--json"]) == 0
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == types


KEY = {"id": "k1", "status": "active", "hex": "ab", "base64": "qw==", "pem": "-----\nx\n-----\n",
       "whpk": "whpk_qw=="}  # fmt: skip


def test_the_keys_of_an_environment_are_shown(api: FakeApi, capsys: Output) -> None:
    old = KEY | {"id": "k0", "status": "retiring", "expires_at": "2026-12-24T18:00:00Z"}
    settings = {"public_verification_key": KEY, "verification_keys": [KEY, old]}
    api.responds("GET", f"/environments/{ENVIRONMENT}/settings", (200, settings))
    assert main(["settings", "--environment", ENVIRONMENT]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["k1", "active", "whpk_qw=="] in rows
    assert ["k0", "retiring", "whpk_qw==", "2026-12-24", "18:00:00.000", "UTC"] in rows
    assert main(["settings", "--environment", ENVIRONMENT, "--key", "pem"]) == 0
    assert capsys.readouterr().out == "-----\nx\n-----\n"
    assert main(["settings", "--environment", ENVIRONMENT, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == settings


FILTER = {"properties": {"data": {"properties": {"status": {"const": "failed"}}}}}
CREATE = ["webhooks", "create", "--environment", ENVIRONMENT, "--url", "https://example.com/hook"]


class TestRetries:
    def test_a_webhook_is_created_with_retries_and_a_time_limit_of_its_own(
        self, api: FakeApi
    ) -> None:
        api.responds("POST", LIST, (201, WEBHOOK))
        own = {"max_retries": 8, "interval": "10s"}
        given = ["--retry", json.dumps(own), "--timeout", "5s"]
        assert main([*CREATE, "--event", "job-completed", *given]) == 0
        sent = json.loads(api.bodies()[0])
        assert (sent["retry"], sent["timeout"]) == (own, "5s")

    def test_an_update_replaces_them_and_empty_ones_remove_them(self, api: FakeApi) -> None:
        stored = WEBHOOK | {"retry": {"max_retries": 8}, "timeout": "5s"}
        api.responds("GET", ONE, (200, stored), (200, stored))
        api.responds("PUT", ONE, (200, WEBHOOK), (200, WEBHOOK))
        assert main(["webhooks", "update", ID, "--retry", '{"backoff": 2}']) == 0
        assert main(["webhooks", "update", ID, "--retry", "", "--timeout", ""]) == 0
        first, second = (json.loads(body) for body in api.bodies("PUT"))
        assert (first["retry"], first["timeout"]) == ({"backoff": 2}, "5s")
        assert not second.keys() & {"retry", "timeout"}


class TestFilters:
    def test_a_webhook_is_created_with_the_filter_of_a_file(
        self, api: FakeApi, tmp_path: Path
    ) -> None:
        api.responds("POST", LIST, (201, WEBHOOK))
        file = tmp_path / "failed.json"
        file.write_text(json.dumps(FILTER))
        assert main([*CREATE, "--event", "job-completed", "--filter", f"@{file}"]) == 0
        assert json.loads(api.bodies()[0])["filter"] == FILTER

    def test_an_update_replaces_the_whole_filter_and_an_empty_one_removes_it(
        self, api: FakeApi
    ) -> None:
        stored = WEBHOOK | {"filter": FILTER}
        api.responds("GET", ONE, (200, stored), (200, stored), (200, stored))
        api.responds("PUT", ONE, (200, WEBHOOK), (200, WEBHOOK), (200, WEBHOOK))
        for given in ('{"required":["data"]}', "", "{}"):
            assert main(["webhooks", "update", ID, "--filter", given]) == 0
        first, second, third = (json.loads(body) for body in api.bodies("PUT"))
        assert first["filter"] == {"required": ["data"]}
        assert "filter" not in second
        assert "filter" not in third

    @pytest.mark.parametrize(
        ("given", "says"),
        [
            ("@missing.json", "missing.json cannot be read"),
            ("{", "not JSON"),
            ("[]", "a JSON object"),
        ],
    )
    def test_a_filter_that_is_none_is_refused_before_anything_is_asked(
        self, api: FakeApi, capsys: Output, given: str, says: str
    ) -> None:
        assert main([*CREATE, "--filter", given]) == Exit.USAGE
        assert says in " ".join(capsys.readouterr().err.split())
        assert api.bodies() == []

    def test_a_file_without_its_at_sign_is_told_to_have_one(
        self, tmp_path: Path, capsys: Output
    ) -> None:
        file = tmp_path / "failed.json"
        file.write_text(json.dumps(FILTER))
        assert main([*CREATE, "--filter", str(file)]) == Exit.USAGE
        assert f"give @{file}" in " ".join(capsys.readouterr().err.split())

    def test_a_filter_is_tried(self, api: FakeApi, capsys: Output) -> None:
        error = {"field": "data.status", "message": "This is not what filter.const asks for."}
        results = [
            {"event_id": "job-8", "type": "job-completed", "matched": True, "errors": []},
            {"event_id": "job-7", "type": "job-completed", "matched": False, "errors": [error]},
        ]
        trial = {"tried": 2, "matched": 1, "results": results}
        api.responds("POST", f"{ONE}/filter-trials", (200, trial), (200, trial))
        arguments = ["webhooks", "try-filter", ID, "--filter", json.dumps(FILTER), "--limit", "2"]
        assert main(arguments) == 0
        assert json.loads(api.bodies()[0]) == {"filter": FILTER, "limit": 2}
        told = capsys.readouterr()
        assert "job-8 job-completed yes" in " ".join(told.out.split())
        assert "data.status" in told.out
        assert told.err == "1 of 2 events match.\n"
        assert main([*arguments, "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == trial
