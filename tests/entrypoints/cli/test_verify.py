"""``verify``: captured requests, good and broken, and what is said of each."""

import base64
import io
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from notification_core.model.event import Event, body_of
from notification_core.model.signing_key import new_signing_key, public_forms
from notification_core.model.signing_secret import SigningSecret
from notification_core.signing.signatures import (
    SignatureHeaders,
    add_symmetric_signatures,
    message_id,
    sign,
)
from notification_entrypoints.cli import main
from notification_entrypoints.commands.exit_codes import Exit
from tests.entrypoints.fake_api import FakeApi, fake_api
from tests.support.output import Output

ENVIRONMENT = UUID("0b6f2e0c-5d0c-4d7e-8a57-2f7a3f0f6f10")
HEADERS = SignatureHeaders("X-3dverse-Signature", "X-3dverse-Signature-Timestamp")
NOW = datetime.now(UTC)
KEY = new_signing_key(ENVIRONMENT, NOW, b"k" * 32)
OTHER = new_signing_key(ENVIRONMENT, NOW, b"o" * 32)
FORMS = public_forms(KEY.public_key)
BODY = body_of(Event("evt-1", ENVIRONMENT, "job-completed", NOW, b'{"a":"1"}'))


def signed(body: bytes = BODY, age: timedelta = timedelta(0)) -> dict[str, str]:
    second = int((datetime.now(UTC) - age).timestamp())
    return dict(sign(HEADERS, [KEY], message_id(ENVIRONMENT, "evt-1"), second, body))


def wire(headers: Mapping[str, str], body: bytes, line: str = "POST /hook HTTP/1.1") -> bytes:
    lines = [line, *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join(line for line in lines if line).encode() + b"\r\n\r\n" + body


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeApi]:
    form = {
        "header": HEADERS.signature,
        "timestamp_header": HEADERS.timestamp,
        "key_id_header": HEADERS.key_id,
        "standard_webhooks": True,
    }
    key = {"id": KEY.key_id, "hex": FORMS.hex, "signature": form}
    settings = {"public_verification_key": key, "verification_keys": [key]}
    with fake_api() as api:
        api.responds("GET", f"/environments/{ENVIRONMENT}/settings", (200, settings))
        monkeypatch.setenv("NOTIFICATION_API_URL", api.url)
        yield api


def verified(tmp_path: Path, data: bytes, *arguments: str) -> int:
    file = tmp_path / "request"
    file.write_bytes(data)
    return main(["verify", str(file), *arguments])


def checked(capsys: Output) -> list[dict[str, Any]]:
    checks: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["checks"]
    return checks


def test_a_request_as_it_came_holds_by_both_schemes(
    api: FakeApi, tmp_path: Path, capsys: Output
) -> None:
    assert verified(tmp_path, wire(signed(), BODY)) == Exit.OK
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["✓ X-3dverse-Signature: valid", "✓ webhook-signature: valid"]
    assert lines[2].startswith(f"job-completed evt-1, {len(BODY)} bytes, signed 20")
    assert len(api.requests) == 1


@pytest.mark.parametrize("form", [FORMS.hex, FORMS.base64, FORMS.pem, FORMS.whpk])
def test_a_key_can_be_given_in_every_form_and_the_api_is_not_asked(
    tmp_path: Path, form: str
) -> None:
    assert verified(tmp_path, wire(signed(), BODY), "--key", form) == Exit.OK


def test_a_key_can_be_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_text(FORMS.pem)
    key = f"@{tmp_path / 'key.pem'}"
    assert verified(tmp_path, wire(signed(), BODY), "--key", key) == Exit.OK
    assert verified(tmp_path, wire(signed(), BODY), "--key", "@nowhere") == Exit.USAGE
    assert verified(tmp_path, wire(signed(), BODY), "--key", "rubbish") == Exit.USAGE


def test_a_file_without_its_at_sign_is_told_to_have_one(tmp_path: Path, capsys: Output) -> None:
    key = tmp_path / "key.pem"
    key.write_text(FORMS.pem)
    assert verified(tmp_path, wire(signed(), BODY), "--key", str(key)) == Exit.USAGE
    assert f"give @{key}" in " ".join(capsys.readouterr().err.split())


def test_of_several_requests_one_has_to_be_chosen(tmp_path: Path, capsys: Output) -> None:
    line = json.dumps({"headers": signed(), "body": BODY.decode()}).encode()
    assert verified(tmp_path, b'{"listening": "http://127.0.0.1:1/"}\n' + line) == Exit.REFUSED
    assert "Give the line of one request." in capsys.readouterr().err


@pytest.mark.parametrize(
    "captured",
    [
        lambda headers: {"headers": headers, "body": BODY.decode()},
        lambda headers: {"headers": [*map(list, headers.items())], "body": BODY.decode()},
        lambda headers: {
            "headers": {name: [value] for name, value in headers.items()},
            "body": BODY.decode(),
        },
        lambda headers: {
            "headers": headers,
            "body_base64": base64.b64encode(BODY).decode(),
            "method": "POST",
        },
    ],
)
def test_json_will_do_as_well(
    tmp_path: Path, captured: Callable[[Mapping[str, str]], object]
) -> None:
    # Signed when the test runs: tests are collected long before.
    request = json.dumps(captured(signed())).encode()
    assert verified(tmp_path, request, "--key", FORMS.hex) == Exit.OK


def test_standard_input_will_do_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    stdin = io.TextIOWrapper(io.BytesIO(wire(signed(), BODY, line="")))
    monkeypatch.setattr(sys, "stdin", stdin)
    assert main(["verify", "--key", FORMS.hex]) == Exit.OK


def test_bare_line_breaks_and_an_editors_last_one_do_no_harm(tmp_path: Path) -> None:
    headers = signed() | {"Content-Length": f"0000000000{len(BODY)}"}
    head, _, _ = wire(headers, b"").partition(b"\r\n\r\n")
    data = head.replace(b"\r\n", b"\n") + b"\n\n" + BODY + b"\n"
    assert verified(tmp_path, data, "--key", FORMS.hex) == Exit.OK


def test_one_signature_is_enough_where_nobody_knows_better(tmp_path: Path, capsys: Output) -> None:
    headers = signed()
    del headers["webhook-signature"]
    assert verified(tmp_path, wire(headers, BODY), "--key", FORMS.hex, "--json") == Exit.OK
    assert [check["signature"] for check in checked(capsys)] == ["X-3dverse-Signature"]


def test_a_signature_that_should_be_there_is_missed(
    api: FakeApi, tmp_path: Path, capsys: Output
) -> None:
    headers = signed()
    del headers["webhook-signature"]
    assert verified(tmp_path, wire(headers, BODY), "--json") == Exit.NOT_VERIFIED
    ours, standard = checked(capsys)
    assert ours["problem"] is None
    assert standard["problem"] == "The header webhook-signature is missing."
    assert api.requests


def test_a_request_without_any_signature_does_not_hold(tmp_path: Path, capsys: Output) -> None:
    data = wire({"Content-Type": "application/json"}, BODY)
    assert verified(tmp_path, data, "--key", FORMS.hex) == Exit.NOT_VERIFIED
    assert "X-3dverse-Signature: The timestamp is missing." in capsys.readouterr().out


def test_an_old_request_is_told_from_a_forged_one(tmp_path: Path, capsys: Output) -> None:
    old = wire(signed(age=timedelta(hours=1)), BODY)
    assert verified(tmp_path, old, "--key", FORMS.hex, "--json") == Exit.NOT_VERIFIED
    for check in checked(capsys):
        assert "older than 300 seconds" in check["problem"]
        assert "--any-age" in check["hint"]
    assert verified(tmp_path, old, "--key", FORMS.hex, "--any-age") == Exit.OK


@pytest.mark.parametrize(
    ("body", "hint"),
    [
        (BODY + b"\n", "line break at the end"),
        (json.dumps(json.loads(BODY), indent=1).encode(), "before parsing"),
    ],
)
def test_what_happened_to_the_body_is_told_if_it_can_be_known(
    tmp_path: Path, capsys: Output, body: bytes, hint: str
) -> None:
    assert verified(tmp_path, wire(signed(), body), "--key", FORMS.hex) == Exit.NOT_VERIFIED
    assert capsys.readouterr().out.count(hint) == 2


def test_the_wrong_key_is_told_by_its_name(tmp_path: Path, capsys: Output) -> None:
    wrong = public_forms(OTHER.public_key).hex
    assert verified(tmp_path, wire(signed(), BODY), "--key", wrong) == Exit.NOT_VERIFIED
    said = capsys.readouterr().out
    assert "No signature matches" in said
    assert f"names the key {KEY.key_id}" in said


def test_a_forged_body_gets_no_excuse(tmp_path: Path, capsys: Output) -> None:
    forged = BODY.replace(b'"1"', b'"2"')
    data = wire(signed(), forged)
    assert verified(tmp_path, data, "--key", FORMS.hex, "--json") == Exit.NOT_VERIFIED
    assert [check["hint"] for check in checked(capsys)] == [None, None]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"hello", "no empty line"),
        (b"hello\n\nbody", "This is not a header"),
        (b'{"headers": {}}', "The body is missing"),
        (b'{"headers": {}, "body": {"a": 1}}', "The body must be a string"),
        (b'{"headers": {}, "body_base64": "?"}', "not base64"),
        (b'{"headers": 1}', "not a captured request"),
        (b"{" * 100_000, "not a captured request"),
        (b"A: 1\nContent-Length: 9\n\nbody", "not whole"),
        (b"x" * (4 * 1024 * 1024 + 1), "more than 4 MiB"),
    ],
)
def test_what_is_no_request_is_one_sentence(
    tmp_path: Path, capsys: Output, data: bytes, reason: str
) -> None:
    assert verified(tmp_path, data, "--key", FORMS.hex) == Exit.REFUSED
    said = capsys.readouterr().err
    assert reason in said
    assert len(said.splitlines()) == 1


def test_a_body_that_names_no_environment_needs_an_option(
    api: FakeApi, tmp_path: Path, capsys: Output
) -> None:
    assert verified(tmp_path, wire(signed(b"[]"), b"[]")) == Exit.REFUSED
    assert "--environment or --key" in capsys.readouterr().err
    data = wire(signed(b"[]"), b"[]")
    assert verified(tmp_path, data, "--environment", str(ENVIRONMENT)) == Exit.OK
    assert api.requests


def test_another_environments_event_does_not_hold(
    api: FakeApi, tmp_path: Path, capsys: Output
) -> None:
    data = wire(signed(), BODY)
    other = "00000000-0000-4000-8000-000000000000"
    assert verified(tmp_path, data, "--environment", other) == Exit.NOT_VERIFIED
    assert f"The body is of environment {ENVIRONMENT}" in capsys.readouterr().err
    assert not api.requests


def test_key_and_environment_are_not_both_taken(tmp_path: Path) -> None:
    both = ["--key", FORMS.hex, "--environment", str(ENVIRONMENT)]
    assert verified(tmp_path, wire(signed(), BODY), *both) == Exit.USAGE


def test_colours_are_for_terminals_and_not_where_nobody_wants_them(
    tmp_path: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = wire(signed(), BODY)
    monkeypatch.delenv("NO_COLOR", raising=False)
    verified(tmp_path, data, "--key", FORMS.hex)
    assert "\x1b" not in capsys.readouterr().out
    monkeypatch.setenv("FORCE_COLOR", "1")
    verified(tmp_path, data, "--key", FORMS.hex)
    assert "\x1b[32m✓" in capsys.readouterr().out
    monkeypatch.setenv("NO_COLOR", "1")
    verified(tmp_path, data, "--key", FORMS.hex)
    assert "\x1b[32m" not in capsys.readouterr().out


SECRET = SigningSecret(UUID(int=1), b"s" * 32, NOW)


def test_a_secret_verifies_the_symmetric_signature_alone(tmp_path: Path, capsys: Output) -> None:
    headers = dict(add_symmetric_signatures((*signed().items(),), [SECRET], BODY))
    assert verified(tmp_path, wire(headers, BODY), "--key", SECRET.text, "--json") == Exit.OK
    assert [check["signature"] for check in checked(capsys)] == ["webhook-signature (v1)"]
    broken = wire(headers, BODY + b" ")
    assert verified(tmp_path, broken, "--key", SECRET.text) == Exit.NOT_VERIFIED
    assert "webhook-signature (v1)" in capsys.readouterr().out
    both = ("--key", SECRET.text, "--key", FORMS.hex)
    assert verified(tmp_path, wire(headers, BODY), *both, "--json") == Exit.OK
    assert len(checked(capsys)) == 3
    assert verified(tmp_path, wire(signed(), BODY), *both) == Exit.NOT_VERIFIED


def test_what_is_not_a_secret_is_refused_and_not_shown(tmp_path: Path, capsys: Output) -> None:
    assert verified(tmp_path, b"", "--key", "whsec_canary") == Exit.USAGE
    said = capsys.readouterr().err
    assert "24 to 64" in " ".join(said.split())
    assert "canary" not in said
