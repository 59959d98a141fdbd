"""What the published verifiers accept, and how they name what they refuse."""

import base64
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from notification_core.errors import InvalidInput, InvalidSignature
from notification_core.model.signing_key import new_signing_key, public_forms
from notification_core.signing.signatures import SignatureHeaders, sign
from notification_core.signing.verification import (
    MAX_SIGNATURES,
    verify_signature,
    verify_standard_webhook,
)
from tests.support.vectors import vectors

VECTORS = vectors("signing")
PUBLIC = {key["name"]: key for key in VECTORS["keys"]}
SIGNED = [vector for vector in VECTORS["vectors"] if "whsec" not in vector]
(V1,) = [vector for vector in VECTORS["vectors"] if "whsec" in vector]
T1 = SIGNED[0]
SIGNED_AT = datetime.fromtimestamp(1_700_000_000, UTC)
NAMES = SignatureHeaders("X-3dverse-Signature", "X-3dverse-Signature-Timestamp")
K1, K2 = PUBLIC["K1"], PUBLIC["K2"]
BODY = T1["body"].encode()
FORMS = [
    K1["raw_hex"],
    K1["raw_b64"],
    K1["pem"],
    K1["whpk"],
    K1["whpk"].encode(),
    [K2["pem"], K1["raw_hex"]],
]


def standard_headers(vector: dict[str, Any] = T1, **changes: str) -> dict[str, str]:
    headers = {
        "webhook-id": vector["webhook_id"],
        "webhook-timestamp": vector["timestamp"],
        "webhook-signature": vector["webhook_signature"],
    }
    return {**headers, **{f"webhook-{name}": value for name, value in changes.items()}}


def without(name: str) -> dict[str, str]:
    return {kept: value for kept, value in standard_headers().items() if kept != name}


def check_own(**changes: Any) -> None:  # the tests hand in what a type checker would not let pass
    arguments = {
        "body": BODY,
        "signature": T1["x_3dverse_signature"],
        "timestamp": T1["timestamp"],
        "public_keys": K1["raw_hex"],
        "now": SIGNED_AT,
    }
    verify_signature(**{**arguments, **changes})


def check_standard(**changes: Any) -> None:  # the same
    arguments = {
        "body": BODY,
        "headers": standard_headers(),
        "public_keys": K1["raw_hex"],
        "now": SIGNED_AT,
    }
    verify_standard_webhook(**{**arguments, **changes})


BOTH = pytest.mark.parametrize("check", [check_own, check_standard])
Check = Callable[..., None]


@pytest.mark.parametrize("vector", SIGNED, ids=lambda vector: vector["name"])
def test_the_contracts_signatures_hold(vector: dict[str, Any]) -> None:
    body = vector["body"].encode()
    signer = PUBLIC[vector["key"] if "key" in vector else vector["keys"][0]]["whpk"]

    verify_signature(
        body, vector["x_3dverse_signature"], vector["timestamp"], signer, now=SIGNED_AT
    )
    verify_standard_webhook(body, standard_headers(vector), signer, now=SIGNED_AT)


def test_in_a_rotation_the_retiring_key_is_enough() -> None:
    (rotation,) = [vector for vector in SIGNED if "keys" in vector]

    for public_key in (K1["raw_hex"], K2["raw_hex"]):
        check_standard(headers=standard_headers(rotation), public_keys=public_key)


@BOTH
@pytest.mark.parametrize("public_keys", FORMS)
def test_public_keys_come_in_any_form_one_or_several(check: Check, public_keys: object) -> None:
    check(public_keys=public_keys)


@given(
    body=st.binary(),
    at=st.integers(1_000_000_000, 9_999_999_999),
    seed=st.binary(min_size=32, max_size=32),
)
def test_what_is_signed_verifies_and_a_changed_body_does_not(
    body: bytes, at: int, seed: bytes
) -> None:
    key = new_signing_key(UUID(int=1), SIGNED_AT, seed)
    headers = dict(sign(NAMES, [key], "msg_1", at, body))
    public_key = public_forms(key.public_key).whpk
    now = datetime.fromtimestamp(at, UTC)
    own = (headers[NAMES.signature], headers[NAMES.timestamp], public_key)

    verify_signature(body, *own, now=now)
    verify_standard_webhook(body, headers, public_key, now=now)
    with pytest.raises(InvalidSignature):
        verify_signature(body + b"x", *own, now=now)
    with pytest.raises(InvalidSignature):
        verify_standard_webhook(body + b"x", headers, public_key, now=now)


@BOTH
def test_another_key_a_changed_body_or_a_moved_time_is_named_a_mismatch(check: Check) -> None:
    for changes in ({"public_keys": K2["raw_hex"]}, {"body": b""}, {"body": BODY + b"\n"}):
        with pytest.raises(InvalidSignature, match="No signature matches"):
            check(**changes)
    moved = "1700000001"
    with pytest.raises(InvalidSignature, match="No signature matches"):
        check_own(timestamp=moved)
    with pytest.raises(InvalidSignature, match="No signature matches"):
        check_standard(headers=standard_headers(timestamp=moved))


def test_the_id_is_signed_too() -> None:
    with pytest.raises(InvalidSignature, match="No signature matches"):
        check_standard(headers=standard_headers(id="msg_other"))


@BOTH
@pytest.mark.parametrize("seconds", [-300, 0, 300])
def test_a_signature_holds_for_five_minutes_in_both_directions(check: Check, seconds: int) -> None:
    check(now=SIGNED_AT + timedelta(seconds=seconds))


@BOTH
def test_an_older_signature_is_refused(check: Check) -> None:
    with pytest.raises(InvalidSignature, match="older than 300 seconds"):
        check(now=SIGNED_AT + timedelta(seconds=300, microseconds=1))


@BOTH
def test_a_signature_from_the_future_is_refused(check: Check) -> None:
    with pytest.raises(InvalidSignature, match="300 seconds in the future"):
        check(now=SIGNED_AT - timedelta(seconds=300, microseconds=1))


@BOTH
def test_the_tolerance_is_the_callers(check: Check) -> None:
    check(now=SIGNED_AT + timedelta(days=1), tolerance=timedelta(days=1))
    with pytest.raises(InvalidSignature, match=r"older than 0\.5 seconds"):
        check(now=SIGNED_AT + timedelta(seconds=1), tolerance=timedelta(seconds=0.5))


@BOTH
def test_now_may_stand_in_any_zone_but_must_stand_in_one(check: Check) -> None:
    check(now=SIGNED_AT.astimezone(timezone(timedelta(hours=-5))))
    with pytest.raises(ValueError, match="aware") as refused:
        check(now=SIGNED_AT.replace(tzinfo=None))
    assert not isinstance(refused.value, InvalidSignature)


@BOTH
@pytest.mark.parametrize("public_keys", [[], "", "nonsense", [K1["raw_hex"], "nonsense"]])
def test_a_key_that_cannot_be_used_is_the_callers_mistake(
    check: Check, public_keys: object
) -> None:
    with pytest.raises(InvalidInput):
        check(public_keys=public_keys)


MALFORMED_TIMES = [
    "170000000",
    "17000000000",
    "1700000000.0",
    " 1700000000",
    "1700000000\n",
    "+170000000",
    "-170000000",
    "1_70000000",
    "０１２３４５６７８９",  # noqa: RUF001 - digits that are not ASCII are the point
    "now",
]


@pytest.mark.parametrize("timestamp", MALFORMED_TIMES)
def test_a_time_that_is_not_ten_digits_is_refused(timestamp: str) -> None:
    with pytest.raises(InvalidSignature, match="ten digits"):
        check_own(timestamp=timestamp)
    with pytest.raises(InvalidSignature, match="ten digits"):
        check_standard(headers=standard_headers(timestamp=timestamp))


@pytest.mark.parametrize("missing", ["", None])
def test_a_missing_header_of_our_own_scheme_is_named(missing: str | None) -> None:
    with pytest.raises(InvalidSignature, match="signature is missing"):
        check_own(signature=missing)
    with pytest.raises(InvalidSignature, match="timestamp is missing"):
        check_own(timestamp=missing)


@pytest.mark.parametrize(
    "signature",
    [
        T1["x_3dverse_signature"].upper(),
        T1["x_3dverse_signature"][:-1],
        T1["x_3dverse_signature"] + "00",
        " " + T1["x_3dverse_signature"],
        T1["x_3dverse_signature"] + "\n",
        "0x" + T1["x_3dverse_signature"][2:],
        T1["telnyx_style_base64"],
    ],
)
def test_a_signature_that_is_not_lower_case_hex_is_refused(signature: str) -> None:
    with pytest.raises(InvalidSignature, match="128 lower-case hex digits"):
        check_own(signature=signature)


@pytest.mark.parametrize("name", ["id", "timestamp", "signature"])
def test_a_missing_header_of_standard_webhooks_is_named(name: str) -> None:
    with pytest.raises(InvalidSignature, match=f"webhook-{name} is missing"):
        check_standard(headers=without(f"webhook-{name}"))


def test_headers_are_found_in_any_case_and_among_others() -> None:
    shouted = {name.upper(): value for name, value in standard_headers().items()}

    check_standard(headers={"Host": "example.com", **shouted})
    check_standard(headers=CIMultiDict(shouted))


def test_a_header_that_comes_twice_is_refused() -> None:
    twice = CIMultiDict(standard_headers())
    twice.add("Webhook-Id", "msg_other")

    with pytest.raises(InvalidSignature, match="webhook-id is there more than once"):
        check_standard(headers=twice)


@pytest.mark.parametrize("message_id", ["", "msg.1", "msg 1", "msg_é", "m" * 129, "msg_1\n"])
def test_an_id_that_could_be_cut_in_two_ways_is_refused(message_id: str) -> None:
    with pytest.raises(InvalidSignature, match="webhook-id is not"):
        check_standard(headers=standard_headers(id=message_id))


def test_other_versions_of_signatures_are_ignored() -> None:
    mixed = f"{V1['webhook_signature']} {T1['webhook_signature']} v2,x"

    check_standard(headers=standard_headers(signature=mixed))


@pytest.mark.parametrize(
    "signature",
    ["", V1["webhook_signature"], "v1b,x", "v1a", T1["webhook_signature"].replace("v1a", "V1A")],
)
def test_without_any_v1a_signature_that_is_what_is_said(signature: str) -> None:
    with pytest.raises(InvalidSignature, match="no v1a signature"):
        check_standard(headers=standard_headers(signature=signature))


@pytest.mark.parametrize(
    ("signature", "told"),
    [
        ("v1a,", "64 bytes"),
        ("v1a,AAAA", "64 bytes"),
        ("v1a,nonsense!", "not base64"),
        (T1["webhook_signature"].rstrip("="), "not base64"),
        (T1["webhook_signature"].replace("w==", "x=="), "not base64"),
        (T1["webhook_signature"].replace("/", "_").replace("+", "-"), "not base64"),
        (f"{T1['webhook_signature']} v1a,?", "not base64"),
    ],
)
def test_a_malformed_v1a_signature_is_refused(signature: str, told: str) -> None:
    with pytest.raises(InvalidSignature, match=told):
        check_standard(headers=standard_headers(signature=signature))


def test_a_flood_of_signatures_is_not_verified() -> None:
    wrong = f"v1a,{base64.b64encode(bytes(64)).decode()}"
    right = T1["webhook_signature"]

    check_standard(
        headers=standard_headers(signature=" ".join([*[wrong] * (MAX_SIGNATURES - 1), right]))
    )
    with pytest.raises(InvalidSignature, match="more than 16"):
        check_standard(
            headers=standard_headers(signature=" ".join([*[wrong] * MAX_SIGNATURES, right]))
        )


def test_a_refusal_repeats_nothing_of_the_request() -> None:
    with pytest.raises(InvalidSignature) as refused:
        check_own(body=b"confidential")

    assert "confidential" not in str(refused.value)
    assert T1["x_3dverse_signature"] not in str(refused.value)


def test_a_request_signed_while_rotating_verifies_under_every_published_key() -> None:
    active = new_signing_key(UUID(int=1), SIGNED_AT, bytes.fromhex(K2["seed_hex"]))
    retiring = new_signing_key(UUID(int=1), SIGNED_AT, bytes.fromhex(K1["seed_hex"]))
    headers = dict(sign(NAMES, [active, retiring], "msg_1", 1_700_000_000, BODY))

    for public_key in (K1["pem"], K2["pem"]):
        check_standard(headers=headers, public_keys=public_key)
