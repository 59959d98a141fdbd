"""What a receiver calls on a request as it came: whatever is in it, it holds or is refused."""

import base64
import hmac
from datetime import UTC, datetime, timedelta
from email.message import Message
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from notification_core import InvalidSignature, verify_request
from notification_core.model.signing_key import new_signing_key, public_forms
from notification_core.signing.signatures import SignatureHeaders, sign
from tests.support.vectors import vectors

VECTORS = vectors("signing")
(V1,) = [vector for vector in VECTORS["vectors"] if "whsec" in vector]
AT = 1_700_000_000
NOW = datetime.fromtimestamp(AT, UTC)
NAMES = SignatureHeaders("X-3dverse-Signature", "X-3dverse-Signature-Timestamp")
BODY = b'{"id":"1"}'
MINE, OTHER = (new_signing_key(UUID(int=1), NOW, seed * 32) for seed in (b"m", b"o"))
KEY, STRANGER = public_forms(MINE.public_key), public_forms(OTHER.public_key)
SECRET = b"s" * 24
WHSEC = f"whsec_{base64.b64encode(SECRET).decode()}"
OWN = {"x-3dverse-signature", "x-3dverse-signature-timestamp"}
STANDARD = {"webhook-id", "webhook-timestamp", "webhook-signature"}


def headers(signer: Any = MINE) -> dict[str, str]:
    return dict(sign(NAMES, [signer], "msg_1", AT, BODY))


def only(names: set[str]) -> dict[str, str]:
    return {name: value for name, value in headers().items() if name.lower() in names}


def v1(secret: bytes = SECRET) -> str:
    digest = hmac.digest(secret, f"msg_1.{AT}.".encode() + BODY, "sha256")
    return f"v1,{base64.b64encode(digest).decode()}"


def entries(*given: str) -> dict[str, str]:
    return only(STANDARD) | {"webhook-signature": " ".join(given)}


def message(fields: dict[str, str]) -> Message:
    made = Message()
    for name, value in fields.items():
        made[name] = value
    return made


@pytest.mark.parametrize(
    "shaped",
    [
        dict,
        lambda fields: {name.lower(): value for name, value in fields.items()},
        lambda fields: {name.upper(): value for name, value in fields.items()},
        CIMultiDict,
        lambda fields: [*fields.items()],
        lambda fields: ((name.encode(), value.encode()) for name, value in fields.items()),
        message,
    ],
    ids=["dict", "lower case", "upper case", "multidict", "pairs", "ASGI", "http.server"],
)
def test_headers_are_taken_as_frameworks_give_them(shaped: Any) -> None:
    verify_request(BODY, shaped(headers()), KEY.hex, now=NOW)
    with pytest.raises(InvalidSignature):
        verify_request(b"{}", shaped(headers()), KEY.hex, now=NOW)


@pytest.mark.parametrize("key", [KEY.hex, KEY.base64, KEY.pem, KEY.whpk, KEY.whpk.encode()])
def test_a_key_in_any_form_alone_or_among_others_is_enough(key: str | bytes) -> None:
    for keys in (key, [key], (STRANGER.hex, key), iter([WHSEC, STRANGER.pem, key])):
        verify_request(BODY, headers(), keys, now=NOW)


@pytest.mark.parametrize("given", [only(OWN), only(STANDARD), headers()])
def test_one_scheme_is_enough(given: dict[str, str]) -> None:
    verify_request(BODY, given, KEY.hex, now=NOW)


def test_one_signature_that_holds_is_enough_beside_those_that_do_not() -> None:
    wrong = only(OWN) | {"X-3dverse-Signature": "0" * 128} | only(STANDARD)
    verify_request(BODY, wrong, KEY.hex, now=NOW)
    right = headers() | {"webhook-signature": "v1a,?"}
    verify_request(BODY, right, KEY.hex, now=NOW)
    signature = headers()["webhook-signature"]
    verify_request(BODY, entries("v1a,?", "v1a", v1(), signature, "v9,x"), KEY.hex, now=NOW)
    verify_request(BODY, entries(v1(b"o" * 24), "v1,?", v1()), WHSEC, now=NOW)
    twice = [*headers().items(), ("X-3dverse-Signature", "0" * 128)]
    verify_request(BODY, twice, KEY.hex, now=NOW)


def test_symmetric_secrets_verify_what_the_contract_says() -> None:
    fields = {
        "webhook-id": V1["webhook_id"],
        "webhook-timestamp": V1["timestamp"],
        "webhook-signature": V1["webhook_signature"],
    }
    for keys in (V1["whsec"], [V1["whsec"].encode(), WHSEC], [WHSEC, KEY.hex, V1["whsec"]]):
        verify_request(V1["body"].encode(), fields, keys, now=NOW)
    for keys in (WHSEC, KEY.hex, [WHSEC, KEY.hex]):
        with pytest.raises(InvalidSignature):
            verify_request(V1["body"].encode(), fields, keys, now=NOW)


def test_a_symmetric_secret_is_for_no_asymmetric_signature() -> None:
    with pytest.raises(InvalidSignature, match="has no v1 signature"):
        verify_request(BODY, headers(), WHSEC, now=NOW)


def test_the_names_of_our_headers_may_be_others() -> None:
    names = SignatureHeaders("X-Mine", "X-Mine-Time")
    fields = dict(sign(names, [MINE], "msg_1", AT, BODY))
    given = {name: value for name, value in fields.items() if name.lower().startswith("x-mine")}
    verify_request(
        BODY,
        given,
        KEY.hex,
        now=NOW,
        signature_header="x-mine",
        timestamp_header="X-MINE-TIME",
    )
    with pytest.raises(InvalidSignature, match="There is no signature"):
        verify_request(BODY, given, KEY.hex, now=NOW)


def test_a_signature_holds_as_long_as_the_tolerance_says() -> None:
    for late in (timedelta(seconds=300), timedelta(seconds=-300)):
        verify_request(BODY, headers(), KEY.hex, now=NOW + late)
        with pytest.raises(InvalidSignature, match="300 seconds"):
            verify_request(BODY, headers(), KEY.hex, now=NOW + late * 1.01)
    hours_later, day = NOW + timedelta(hours=23), timedelta(days=1)
    verify_request(BODY, headers(), KEY.hex, now=hours_later, tolerance=day)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({}, "There is no signature: X-3dverse-Signature or webhook-signature must be given"),
        (only({"x-3dverse-signature"}), "X-3dverse-Signature-Timestamp is missing"),
        (headers(OTHER), "No signature matches"),
        (entries("v2,x"), "has no v1a signature"),
        (only(STANDARD) | {"webhook-id": "a.b"}, "webhook-id is not"),
        ([*only(STANDARD).items(), *only(STANDARD).items()], "webhook-id is there more than once"),
    ],
)
def test_what_is_refused_says_why(given: Any, reason: str) -> None:
    with pytest.raises(InvalidSignature, match=reason):
        verify_request(BODY, given, KEY.hex, now=NOW)


@pytest.mark.parametrize(
    "keys", [[], "", "nonsense", "whsec_", "whsec_????", b"\xff", [KEY.hex, ""]]
)
def test_a_key_that_cannot_be_read_is_no_reason_to_raise_anything_else(keys: Any) -> None:
    with pytest.raises(InvalidSignature, match=r"key|secret"):
        verify_request(BODY, headers(), keys, now=NOW)


def test_a_time_without_its_zone_neither() -> None:
    with pytest.raises(InvalidSignature, match="aware"):
        verify_request(BODY, headers(), KEY.hex, now=NOW.replace(tzinfo=None))


TELLING = sorted(OWN | STANDARD)
HOSTILE = st.one_of(
    st.text(max_size=200),
    st.sampled_from([str(AT), "msg_1", v1(), f"{v1()} v1a,{'A' * 88}", "0" * 128, "９" * 10]),  # noqa: RUF001 - digits that are not ASCII
    st.text(alphabet="v1a, =AZ", max_size=300),
)
FIELDS = st.lists(st.tuples(st.sampled_from(TELLING) | st.text(max_size=20), HOSTILE), max_size=12)


@given(body=st.binary(), fields=FIELDS, keys=st.sampled_from([KEY.hex, [WHSEC, KEY.pem], WHSEC]))
def test_whatever_a_request_holds_nothing_but_its_refusal_is_raised(
    body: bytes, fields: list[tuple[str, str]], keys: Any
) -> None:
    for headers_given in (fields, dict(fields), CIMultiDict(fields)):
        with pytest.raises(InvalidSignature):
            verify_request(b"forged" + body, headers_given, keys, now=NOW)


@given(keys=st.lists(st.text() | st.binary() | st.just("whsec_" + "A" * 32), max_size=3))
def test_whatever_the_keys_are_nothing_but_the_refusal_is_raised(keys: list[str | bytes]) -> None:
    with pytest.raises(InvalidSignature):
        verify_request(BODY, headers(), keys, now=NOW)
