"""``listen``: a receiver that is run as anybody would run it, and sent real signed requests."""

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from http.client import HTTPConnection
from pathlib import Path
from uuid import UUID

import pytest
from attrs import define, evolve, field

from notification_core.model.event import Event, body_of
from notification_core.model.signing_key import SigningKey, new_signing_key
from notification_core.signing.signatures import SignatureHeaders, message_id, sign
from notification_entrypoints.cli import main
from notification_entrypoints.commands.exit_codes import Exit
from tests.entrypoints.fake_api import FakeApi, fake_api
from tests.support.waiting import PATIENCE

ENVIRONMENT = UUID("0b6f2e0c-5d0c-4d7e-8a57-2f7a3f0f6f10")
WEBHOOK = "019aa5b0-0000-7000-8000-000000000001"
DELIVERY = "019aa5b0-0000-7000-8000-000000000002"
HEADERS = SignatureHeaders("X-3dverse-Signature", "X-3dverse-Signature-Timestamp")
NOW = datetime.now(UTC)
KEY = new_signing_key(ENVIRONMENT, NOW, b"k" * 32)
OTHER_KEY = new_signing_key(ENVIRONMENT, NOW, b"o" * 32)
EVENT = Event("evt-1", ENVIRONMENT, "job-completed", NOW, b'{"a":1}')
SETTINGS = f"/environments/{ENVIRONMENT}/settings"
WEBHOOKS = f"/environments/{ENVIRONMENT}/webhooks"


def settings_with(*keys: SigningKey, standard: bool = True) -> tuple[int, object]:
    form = {
        "standard_webhooks": standard,
        "header": HEADERS.signature,
        "timestamp_header": HEADERS.timestamp,
        "key_id_header": HEADERS.key_id,
    }
    published = [
        {"id": key.key_id, "hex": key.public_key.hex(), "signature": form, "more": 1}
        for key in keys
    ]
    return 200, {"public_verification_key": published[0], "verification_keys": published}


def signed(event: Event, key: SigningKey = KEY, attempt: int = 1) -> tuple[bytes, dict[str, str]]:
    body = body_of(event)
    now = int(datetime.now(UTC).timestamp())
    headers = dict(sign(HEADERS, [key], message_id(ENVIRONMENT, event.event_id), now, body))
    return body, headers | {"webhook-delivery": DELIVERY, "webhook-attempt": str(attempt)}


@pytest.fixture
def api() -> Iterator[FakeApi]:
    with fake_api() as api:
        api.responds("GET", SETTINGS, settings_with(KEY))
        yield api


@define
class Listener:
    """A running ``listen``."""

    process: "subprocess.Popen[str]"
    port: int = 0
    started: str = field(init=False)

    def line(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline()

    def block(self) -> list[str]:
        """Return the lines of the next request, which end at its second empty line."""
        lines: list[str] = []
        while lines.count("") < 2:
            lines.append(self.line().rstrip("\n"))
        return lines

    def send(self, body: bytes, headers: Mapping[str, str]) -> int:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request("POST", "/", body, dict(headers))
        status = connection.getresponse().status
        connection.close()
        return status

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Stop it; return its exit code and what it said about errors."""
        self.process.send_signal(number)
        _, errors = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, errors


@contextmanager
def listening(api: FakeApi, *arguments: str) -> Iterator[Listener]:
    command = "import sys; from notification_entrypoints.cli import main; sys.exit(main())"
    process = subprocess.Popen(  # noqa: S603 - this interpreter with our own arguments
        [sys.executable, "-c", command, "listen", "--api", api.url, "--port", "0", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    listener = Listener(process)
    try:
        listener.started = listener.line()
        listener.port = int(listener.started.partition("127.0.0.1:")[2].partition("/")[0])
        yield listener
    finally:
        process.kill()
        process.communicate()


def test_a_signed_request_is_verified_by_both_schemes_and_told(api: FakeApi) -> None:
    with listening(api, "--json") as listener:
        body, headers = signed(EVENT, attempt=2)
        assert listener.send(body, headers) == 204
        told = json.loads(listener.line())
        assert ["webhook-attempt", "2"] in told.pop("headers")
        assert told == {
            "verified": True,
            "problem": None,
            "event": "job-completed",
            "event_id": "evt-1",
            "webhook-id": "msg_evt-1",
            "webhook-delivery": DELIVERY,
            "webhook-attempt": "2",
            "sha256": hashlib.sha256(body).hexdigest(),
            "http_code": 204,
            "method": "POST",
            "body": body.decode(),
        }


def test_people_get_each_request_with_the_headers_that_matter_and_its_body(api: FakeApi) -> None:
    with listening(api) as listener:
        body, headers = signed(EVENT, attempt=2)
        listener.send(body, headers | {"X-Tenant": "north"})
        first, *rest = listener.block()
        assert first.startswith("✓ ")
        assert first.endswith("  job-completed  evt-1  attempt 2  → 204")
        assert rest[0] == "  POST /"
        assert "    webhook-id: msg_evt-1" in rest
        assert "    X-Tenant: north" in rest
        assert '    "data": {' in [line[2:] for line in rest]
        assert not [line for line in rest if "Signature" in line or "Host" in line]
        listener.send(body + b" ", headers)
        first, problem, *_ = listener.block()
        assert first.startswith("✗ ")
        assert "signature" in problem.lower()


def test_a_request_is_printed_as_it_came_on_request(api: FakeApi) -> None:
    with listening(api, "--raw") as listener:
        body, headers = signed(EVENT)
        listener.send(body, headers)
        shown = listener.block()
        assert body.decode() in shown
        assert [line for line in shown if "X-3dverse-Signature: " in line]


def test_a_response_that_refuses_is_not_marked_as_good(api: FakeApi) -> None:
    with listening(api, "--answer", "500") as listener:
        listener.send(*signed(EVENT))
        first, *_ = listener.block()
        assert first.startswith("✗ ")
        assert first.endswith("→ 500")


def test_what_is_printed_for_programs_can_be_verified_later(
    api: FakeApi, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with listening(api, "--json") as listener:
        listener.send(*signed(EVENT))
        captured = tmp_path / "request.json"
        captured.write_text(listener.line())
    assert main(["verify", str(captured), "--api", api.url]) == 0
    capsys.readouterr()


def test_requests_are_forwarded_and_the_service_responds(api: FakeApi) -> None:
    with fake_api() as service:
        service.responds("POST", "/hooks", (418, {"error": "teapot"}, {"X-Back": "yes"}))
        with listening(api, "--json", "--forward-to", f"{service.url}/hooks") as listener:
            body, headers = signed(EVENT)
            connection = HTTPConnection("127.0.0.1", listener.port, timeout=10)
            connection.request("POST", "/", body, headers)
            response = connection.getresponse()
            assert (response.status, response.getheader("X-Back")) == (418, "yes")
            assert json.loads(response.read()) == {"error": "teapot"}
            connection.close()
            told = json.loads(listener.line())
    assert (told["verified"], told["http_code"]) == (True, 418)
    assert service.bodies() == [body]


def test_a_service_that_does_not_respond_is_a_bad_gateway(api: FakeApi) -> None:
    nowhere = "http://127.0.0.1:9/hooks"
    with listening(api, "--forward-to", nowhere) as listener:
        assert listener.send(*signed(EVENT)) == 502
        first, problem, *_ = listener.block()
    assert first.startswith("✗ ")
    assert f"{nowhere} does not respond" in problem


def test_a_script_and_a_service_cannot_both_respond(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["listen", "--forward-to", "http://localhost:1/", "--answer", "204"]) == Exit.USAGE
    assert main(["listen", "--forward-to", "localhost"]) == Exit.USAGE
    assert "http://localhost:3000/webhooks" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"X-3dverse-Signature": "0" * 128}, "signature"),
        ({"X-3dverse-Signature-Timestamp": "1000000000"}, "older"),
        ({"webhook-signature": "v1a,AAAA"}, "signature"),
        ({"webhook-id": "msg_other"}, "signature"),
    ],
)
def test_a_request_that_breaks_either_scheme_is_told_as_such(
    api: FakeApi, changed: dict[str, str], word: str
) -> None:
    with listening(api, "--json") as listener:
        body, headers = signed(EVENT)
        listener.send(body, headers | changed)
        said = json.loads(listener.line())
    assert not said["verified"]
    assert word in said["problem"].lower()


def test_one_scheme_is_enough_where_requests_are_signed_by_one(api: FakeApi) -> None:
    api.responds("GET", SETTINGS, settings_with(KEY, standard=False))
    with listening(api) as listener:
        body, headers = signed(EVENT)
        del headers["webhook-signature"]
        listener.send(body, headers)
        assert listener.block()[0].startswith("✓ ")
        listener.send(body + b" ", headers)
        assert listener.block()[0].startswith("✗ ")


def test_both_schemes_must_hold_where_requests_are_signed_by_both(api: FakeApi) -> None:
    with listening(api) as listener:
        body, headers = signed(EVENT)
        del headers["webhook-signature"]
        listener.send(body, headers)
        assert "webhook-signature is missing" in listener.block()[1]


def test_what_is_not_an_event_is_told_as_such(api: FakeApi) -> None:
    with listening(api) as listener:
        listener.send(b"hello", {})
        assert listener.block()[1] == "  the body is not an event of this system"


def test_what_a_stranger_sends_cannot_steer_the_terminal(api: FakeApi) -> None:
    with listening(api) as listener:
        body, headers = signed(evolve(EVENT, event_id="\x1b[2J[red]"))
        listener.send(body, headers)
        shown = "\n".join(listener.block())
        assert "job-completed  �[2J[red]  attempt 1" in shown
        assert "\x1b" not in shown


def test_the_responses_follow_the_script_and_the_last_one_repeats(api: FakeApi) -> None:
    with listening(api, "--answer", "500,410,204") as listener:
        assert [listener.send(*signed(EVENT)) for _ in range(4)] == [500, 410, 204, 204]


def test_keys_are_asked_for_once_and_again_when_an_unknown_one_signs(api: FakeApi) -> None:
    with listening(api, "--json") as listener:
        for _ in range(3):
            listener.send(*signed(EVENT))
            assert json.loads(listener.line())["verified"]
        assert [request.path for request in api.requests] == [SETTINGS]

        api.responds("GET", SETTINGS, settings_with(OTHER_KEY, KEY))
        results: list[bool] = []
        while not results or not results[-1]:  # Fetches are two seconds apart, not one a request.
            listener.send(*signed(EVENT, OTHER_KEY))
            results.append(json.loads(listener.line())["verified"])
        assert len(api.requests) == 2
        assert len(results) > 1


def test_requests_of_another_environment_are_not_taken_for_those_of_this_one(api: FakeApi) -> None:
    subscribe_responses(api)
    elsewhere = UUID(int=7)
    with listening(api, "--json", "--environment", str(ENVIRONMENT)) as listener:
        listener.send(*signed(evolve(EVENT, environment_id=elsewhere)))
        assert str(elsewhere) in json.loads(listener.line())["problem"]


def subscribe_responses(api: FakeApi) -> None:
    api.responds("GET", "/webhooks/events", (200, [{"name": "job-created"}, {"name": "new"}]))
    api.responds("POST", WEBHOOKS, (201, {"webhook_id": WEBHOOK}))
    api.responds("DELETE", f"/webhooks/{WEBHOOK}", (204, None))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_environment_is_subscribed_for_as_long_as_it_runs(
    api: FakeApi, number: signal.Signals
) -> None:
    subscribe_responses(api)
    with listening(api, "--environment", str(ENVIRONMENT)) as listener:
        draft = json.loads(api.bodies()[0])
        assert draft["events"] == ["job-created", "new"]
        assert draft["url"] == f"http://127.0.0.1:{listener.port}/"
        assert WEBHOOK in listener.started
        assert listener.stop(number) == (0, "")
    assert [request.method for request in api.requests] == ["GET", "POST", "DELETE"]


def test_a_server_that_sends_nothing_to_loopback_is_told_apart(
    api: FakeApi, capsys: pytest.CaptureFixture[str]
) -> None:
    subscribe_responses(api)
    details = [{"field": "url", "message": "Use a host with a public address."}]
    api.responds("POST", WEBHOOKS, (400, {"message": "Invalid.", "details": details}))
    listen = ["listen", "--api", api.url, "--port", "0", "--environment", str(ENVIRONMENT)]
    assert main(listen) == Exit.REFUSED
    assert "WEBHOOKS_ALLOWED_NETWORKS=127.0.0.0/8" in capsys.readouterr().err


def test_a_webhook_that_somebody_else_deleted_is_not_an_error(api: FakeApi) -> None:
    subscribe_responses(api)
    api.responds("DELETE", f"/webhooks/{WEBHOOK}", (404, {"message": "There is no such webhook."}))
    with listening(api, "--environment", str(ENVIRONMENT)) as listener:
        assert listener.stop() == (0, "")


def test_a_webhook_that_cannot_be_deleted_is_named(api: FakeApi) -> None:
    subscribe_responses(api)
    api.responds(
        "DELETE", f"/webhooks/{WEBHOOK}", (503, {"message": "The storage is unavailable."})
    )
    with listening(api, "--environment", str(ENVIRONMENT)) as listener:
        code, errors = listener.stop()
    assert code == Exit.UNAVAILABLE
    assert f"Webhook {WEBHOOK} is still there." in errors


def test_a_port_in_use_is_said_in_a_sentence(
    api: FakeApi, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert main(["listen", "--api", api.url, "--port", port]) == 1
    assert f"Port {port} cannot be listened on" in (said := capsys.readouterr().err)
    assert "--port" in said


@pytest.mark.parametrize("answer", ["", "abc", "200,", "99", "600", "100"])
def test_a_response_that_is_no_status_is_a_usage_error(
    answer: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["listen", "--answer", answer]) == 2
    assert "500,500,204" in capsys.readouterr().err
