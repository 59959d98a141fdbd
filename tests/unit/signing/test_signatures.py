"""The signatures of a request, as receivers and their libraries see them."""

import base64
import hashlib
import hmac
import re
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import attrs
import pytest
from discord_interactions import verify_key  # type: ignore[import-untyped] # has no types
from hypothesis import given
from hypothesis import strategies as st
from nacl.signing import VerifyKey

from notification_core.model.secret_text import parse_signing_secret
from notification_core.model.signing_key import SigningKey, new_signing_key
from notification_core.model.signing_secret import SigningSecret
from notification_core.signing.signatures import (
    SignatureHeaders,
    add_symmetric_signatures,
    message_id,
    sign,
)
from notification_core.signing.verification import verify_request
from tests.support.vectors import vectors

VECTORS = vectors("signing")
SEEDS = {key["name"]: bytes.fromhex(key["seed_hex"]) for key in VECTORS["keys"]}
SIGNED = [vector for vector in VECTORS["vectors"] if "whsec" not in vector]
HEADERS = SignatureHeaders("X-3dverse-Signature", "X-3dverse-Signature-Timestamp")
ENVIRONMENT = UUID("1f81eb52-5198-4599-803e-771906343485")
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
TIMESTAMPS = st.integers(0, 9_999_999_999)


def key(name: str) -> SigningKey:
    return new_signing_key(ENVIRONMENT, NOW, SEEDS[name])


def keys_of(vector: dict[str, Any]) -> list[SigningKey]:
    return [key(name) for name in vector.get("keys") or [vector["key"]]]


def body_of(vector: dict[str, Any]) -> bytes:
    body: str = vector["body"]
    return body.encode()


@pytest.mark.parametrize("vector", SIGNED, ids=lambda vector: vector["name"])
def test_the_contracts_signatures_are_made_byte_for_byte(vector: dict[str, Any]) -> None:
    timestamp, body, keys = int(vector["timestamp"]), body_of(vector), keys_of(vector)

    assert body.hex() == vector.get("body_hex", body.hex())
    headers = dict(sign(HEADERS, keys, vector["webhook_id"], timestamp, body))
    assert headers["X-3dverse-Signature"] == vector["x_3dverse_signature"]
    assert headers["webhook-signature"] == vector["webhook_signature"]


@pytest.mark.parametrize("vector", SIGNED, ids=lambda vector: vector["name"])
def test_all_headers_of_an_attempt_are_made_at_once(vector: dict[str, Any]) -> None:
    keys = keys_of(vector)
    signed = sign(HEADERS, keys, vector["webhook_id"], int(vector["timestamp"]), body_of(vector))

    assert signed == (
        ("X-3dverse-Signature", vector["x_3dverse_signature"]),
        ("X-3dverse-Signature-Timestamp", vector["timestamp"]),
        ("X-3dverse-Signature-Key-Id", keys[0].key_id),
        ("webhook-id", vector["webhook_id"]),
        ("webhook-timestamp", vector["timestamp"]),
        ("webhook-signature", vector["webhook_signature"]),
    )


def test_without_the_standard_signature_the_id_and_time_still_go_out() -> None:
    headers = attrs.evolve(HEADERS, standard=False)

    assert [name for name, _ in sign(headers, [key("K1")], "msg_1", 1_700_000_000, b"{}")] == [
        "X-3dverse-Signature",
        "X-3dverse-Signature-Timestamp",
        "X-3dverse-Signature-Key-Id",
        "webhook-id",
        "webhook-timestamp",
    ]


def secrets_of(*texts: str) -> list[SigningSecret]:
    return [SigningSecret(UUID(int=1), parse_signing_secret(text), NOW) for text in texts]


SECRETS = secrets_of(*(f"whsec_{base64.b64encode(bytes([n]) * n).decode()}" for n in (24, 64)))


@given(body=st.binary(), timestamp=TIMESTAMPS)
def test_each_secret_signs_after_the_keys_and_nothing_else_changes(
    body: bytes, timestamp: int
) -> None:
    signed = sign(HEADERS, [key("K2"), key("K1")], "msg_1", timestamp, body)
    more = dict(add_symmetric_signatures(signed, SECRETS, body))
    *asymmetric, first, second = more.pop("webhook-signature").split(" ")
    before = dict(signed)
    assert " ".join(asymmetric) == before.pop("webhook-signature")
    assert more == before
    content = f"msg_1.{timestamp:010d}.".encode() + body
    for entry, secret in zip((first, second), SECRETS, strict=True):
        digest = hmac.new(secret.secret, content, hashlib.sha256).digest()
        assert entry == f"v1,{base64.b64encode(digest).decode()}"
        now = datetime.fromtimestamp(timestamp, UTC)
        verify_request(body, {**more, "webhook-signature": entry}, secret.text, now=now)


def test_a_symmetric_signature_is_that_of_the_published_vector() -> None:
    (vector,) = [vector for vector in VECTORS["vectors"] if "whsec" in vector]
    signed = (("webhook-id", vector["webhook_id"]), ("webhook-timestamp", vector["timestamp"]))
    body = vector["body"].encode()
    more = add_symmetric_signatures(signed, secrets_of(vector["whsec"]), body)
    assert dict(more)["webhook-signature"] == vector["webhook_signature"]


def test_secrets_sign_without_the_asymmetric_scheme_as_well() -> None:
    headers = attrs.evolve(HEADERS, standard=False)
    signed = sign(headers, [key("K1")], "msg_1", 1_700_000_000, b"{}")
    assert add_symmetric_signatures(signed, [], b"{}") == signed
    more = add_symmetric_signatures(signed, SECRETS, b"{}")
    assert more[:-1] == signed
    name, value = more[-1]
    assert name == "webhook-signature"
    assert [entry.partition(",")[0] for entry in value.split(" ")] == ["v1", "v1"]


def test_the_headers_bear_the_configured_names() -> None:
    headers = SignatureHeaders("X-Acme-Sig", "X-Acme-Time")
    names = [name for name, _ in sign(headers, [key("K1")], "msg_1", 1_700_000_000, b"{}")]

    assert names[:3] == ["X-Acme-Sig", "X-Acme-Time", "X-Acme-Sig-Key-Id"]
    assert headers.names == {"x-acme-sig", "x-acme-time", "x-acme-sig-key-id"}


@given(body=st.binary(), timestamp=TIMESTAMPS)
def test_published_verifiers_of_discords_scheme_accept_our_own(body: bytes, timestamp: int) -> None:
    headers = dict(sign(HEADERS, [key("K1")], "msg_1", timestamp, body))

    assert verify_key(
        body,
        headers["X-3dverse-Signature"],
        headers["X-3dverse-Signature-Timestamp"],
        key("K1").public_key.hex(),
    )


@given(body=st.binary(), timestamp=TIMESTAMPS)
def test_libsodium_accepts_each_standard_signature(body: bytes, timestamp: int) -> None:
    keys = [key("K2"), key("K1")]
    headers = dict(sign(HEADERS, keys, "msg_1", timestamp, body))
    content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body

    entries = headers["webhook-signature"].split(" ")
    assert len(entries) == 2
    for entry, signer in zip(entries, keys, strict=True):
        version, _, signature = entry.partition(",")
        assert version == "v1a"
        VerifyKey(signer.public_key).verify(content, base64.b64decode(signature))


@given(TIMESTAMPS)
def test_the_time_always_has_ten_digits(timestamp: int) -> None:
    headers = dict(sign(HEADERS, [key("K1")], "msg_1", timestamp, b""))

    assert re.fullmatch(r"[0-9]{10}", headers["webhook-timestamp"])
    assert headers["X-3dverse-Signature-Timestamp"] == headers["webhook-timestamp"]
    assert int(headers["webhook-timestamp"]) == timestamp


def test_our_own_scheme_is_signed_by_the_first_key_alone() -> None:
    headers = dict(sign(HEADERS, [key("K2"), key("K1")], "msg_1", 1, b""))

    assert headers["X-3dverse-Signature-Key-Id"] == key("K2").key_id
    assert headers["X-3dverse-Signature"] == key("K2").private_key.sign(b"0000000001").hex()


@pytest.mark.parametrize("event_id", ["a", "evt_1-B", "x" * 124])
def test_a_plain_event_id_stands_in_the_message_id(event_id: str) -> None:
    assert message_id(ENVIRONMENT, event_id) == f"msg_{event_id}"


@pytest.mark.parametrize(
    ("event_id", "expected"),
    [
        ("order.created/7", "msg_uWD3lf5Q6LBALsHvVfbOaWYocfNuQ2vEXEABMrU4_Tk"),
        ("x" * 125, None),
        ("", None),
        ("é", None),
        ("a\n", None),
    ],
)
def test_any_other_event_id_is_hashed_with_its_environment(
    event_id: str, expected: str | None
) -> None:
    hashed = message_id(ENVIRONMENT, event_id)

    assert expected in {None, hashed}
    assert re.fullmatch(r"msg_[A-Za-z0-9_-]{43}", hashed)
    assert hashed != message_id(UUID(int=0), event_id)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_message_id_is_stable_and_safe_in_a_header(event_id: str) -> None:
    one = message_id(ENVIRONMENT, event_id)

    assert one == message_id(ENVIRONMENT, event_id)
    assert re.fullmatch(r"msg_[A-Za-z0-9_-]{1,124}", one)
