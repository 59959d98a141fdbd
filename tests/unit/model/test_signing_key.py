"""Signing keys and the forms of their public halves."""

import base64
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import attrs
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from notification_core.errors import InvalidInput
from notification_core.model.public_keys import decoded_base64, parse_public_key
from notification_core.model.signing_key import (
    SigningKey,
    new_signing_key,
    public_forms,
    signing_at,
    thumbprint,
    trusted_at,
)
from tests.support.vectors import vectors

VECTORS = vectors("signing")
KEYS = pytest.mark.parametrize("vector", VECTORS["keys"], ids=lambda vector: vector["name"])
ENVIRONMENT = UUID("1f81eb52-5198-4599-803e-771906343485")
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
HOUR = timedelta(hours=1)
SEEDS = st.binary(min_size=32, max_size=32)
HEX = VECTORS["keys"][0]["raw_hex"]


def key_of(vector: dict[str, Any]) -> SigningKey:
    return new_signing_key(ENVIRONMENT, NOW, bytes.fromhex(vector["seed_hex"]))


@KEYS
def test_a_key_of_the_contract_has_its_public_half_and_its_thumbprint(
    vector: dict[str, Any],
) -> None:
    key = key_of(vector)

    assert key.public_key.hex() == vector["raw_hex"]
    assert key.key_id == thumbprint(key.public_key) == vector["kid"]


@KEYS
def test_a_key_of_the_contract_comes_in_all_its_forms(vector: dict[str, Any]) -> None:
    forms = public_forms(bytes.fromhex(vector["raw_hex"]))

    assert forms.hex == vector["raw_hex"]
    assert forms.base64 == vector["raw_b64"]
    assert forms.pem == vector["pem"]
    assert forms.whpk == vector["whpk"]
    assert forms.jwk == vector["jwk"]


def test_a_new_key_is_active_from_now_on() -> None:
    key = key_of(VECTORS["keys"][0])

    assert key.environment_id == ENVIRONMENT
    assert key.number == 1
    assert key.created_at == key.not_before == NOW
    assert key.expires_at is None


def test_a_key_shows_no_secret() -> None:
    key = key_of(VECTORS["keys"][1])

    assert "seed" not in repr(key)
    assert "PrivateKey" not in repr(key)
    assert repr(key.seed) not in repr(key)


def test_two_readings_of_one_key_are_equal() -> None:
    one, other = key_of(VECTORS["keys"][0]), key_of(VECTORS["keys"][0])

    assert one == other
    assert hash(one) == hash(other)
    assert one != key_of(VECTORS["keys"][1])


def test_a_key_that_is_to_expire_still_signs_alike() -> None:
    key = key_of(VECTORS["keys"][0])
    retiring = attrs.evolve(key, expires_at=NOW)

    assert retiring.private_key.sign(b"x") == key.private_key.sign(b"x")


def numbered(number: int, not_before: timedelta, expires_at: timedelta | None = None) -> SigningKey:
    """Return a key with its times, as seen from now."""
    expires = None if expires_at is None else NOW + expires_at
    key = new_signing_key(ENVIRONMENT, NOW, bytes([number]) * 32, number, NOW + not_before)
    return attrs.evolve(key, expires_at=expires)


def standing(*keys: SigningKey) -> list[tuple[int, str]]:
    return [(each.key.number, each.status.value) for each in trusted_at(keys, NOW)]


def test_where_a_key_stands_follows_from_the_times_of_all() -> None:
    expired = numbered(1, -30 * HOUR, timedelta())
    old, older = numbered(3, -5 * HOUR, HOUR), numbered(2, -9 * HOUR, HOUR)
    active, coming = numbered(4, timedelta(), 25 * HOUR), numbered(5, HOUR)

    assert standing(coming, older, expired, active, old) == [
        (4, "active"),
        (3, "retiring"),
        (2, "retiring"),
        (5, "pending"),
    ]


def test_the_newest_key_that_may_sign_is_active_whatever_the_times_of_the_others() -> None:
    planned, emergency = numbered(2, -timedelta(seconds=1), HOUR), numbered(3, -HOUR)

    assert standing(planned, emergency) == [(3, "active"), (2, "retiring")]


def test_a_clock_that_was_set_back_leaves_the_oldest_key_active() -> None:
    first, second = numbered(1, HOUR, 26 * HOUR), numbered(2, 2 * HOUR)

    assert standing(first, second) == [(1, "active"), (2, "pending")]


def test_the_active_key_signs_first_and_no_more_than_three_sign() -> None:
    keys = [numbered(number, -HOUR, HOUR) for number in range(1, 5)]
    pending = numbered(6, HOUR)

    signing = signing_at([*keys, numbered(5, -HOUR), pending], NOW)
    assert [key.number for key in signing] == [5, 4, 3]


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_seed_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match="32"):
        new_signing_key(ENVIRONMENT, NOW, bytes(length))


@given(SEEDS)
def test_each_form_reads_back_as_the_same_key(seed: bytes) -> None:
    public_key = new_signing_key(ENVIRONMENT, NOW, seed).public_key
    forms = public_forms(public_key)

    for text in (forms.hex, forms.hex.upper(), forms.base64, forms.pem, forms.whpk):
        assert parse_public_key(text) == public_key
        assert parse_public_key(text.encode()) == public_key
        assert parse_public_key(f" {text}\n") == public_key


@pytest.mark.parametrize(
    "text",
    [
        "",
        HEX[:-2],
        HEX + "00",
        "zz" + HEX[2:],
        "whpk_",
        "whpk_" + HEX,
        "whsk_A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=",
        "A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg",
        "A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbh=",
        "A6EHv_POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=",
        "MCowBQYDK2VwAyEAA6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=",
        "-----BEGIN PUBLIC KEY-----\nnonsense\n-----END PUBLIC KEY-----\n",
        "-----BEGIN PUBLIC KEY-----",
        "é" * 64,
        b"\xff" * 32,
    ],
)
def test_what_is_no_public_key_is_refused(text: str | bytes) -> None:
    with pytest.raises(InvalidInput, match="public key"):
        parse_public_key(text)


P = 2**255 - 19
D = -121665 * pow(121666, -1, P) % P
Point = tuple[int, int]


def added(one: Point, other: Point) -> Point:
    """Return the sum of two points of the curve (RFC 8032, section 5.1.4)."""
    (x, y), (u, v) = one, other
    product = D * x * u * y * v
    return (
        (x * v + y * u) * pow(1 + product, -1, P) % P,
        (y * v + x * u) * pow(1 - product, -1, P) % P,
    )


def point_of(key: bytes) -> Point | None:
    """Return the point that a public key stands for, the canonical form of y not asked for."""
    y = int.from_bytes(key, "little") % 2**255 % P
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    root = pow(square, (P + 3) // 8, P)
    x = next((x for x in (root, root * pow(2, (P - 1) // 4, P) % P) if x * x % P == square), None)
    return None if x is None else (x, y)


def has_small_order(key: bytes) -> bool:
    point = point_of(key)
    for _ in range(3):
        point = point and added(point, point)
    return point == (0, 1)


def keys_of_small_order() -> set[bytes]:
    """Return all of them: every y that solves the order's equation, in every encoding."""
    order_8 = "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"
    y_of_8 = int.from_bytes(bytes.fromhex(order_8), "little")
    reduced = {0, 1, P - 1, y_of_8, P - y_of_8}
    encoded = {y + k * P for y in reduced for k in (0, 1) if y + k * P < 2**255}
    return {(y | sign << 255).to_bytes(32, "little") for y in encoded for sign in (0, 1)}


def test_a_key_of_small_order_is_refused_in_every_encoding() -> None:
    keys = keys_of_small_order()
    assert len(keys) == 14
    for key in keys:
        assert has_small_order(key)
        with pytest.raises(InvalidInput, match="small order"):
            parse_public_key(key.hex())


@given(st.binary(min_size=32, max_size=32) | st.sampled_from(sorted(keys_of_small_order())))
def test_only_keys_of_small_order_are_refused_for_that(key: bytes) -> None:
    if has_small_order(key):
        with pytest.raises(InvalidInput, match="small order"):
            parse_public_key(key.hex())
    else:
        assert parse_public_key(key.hex()) == key


def test_a_key_of_another_algorithm_is_refused() -> None:
    pem = generate_private_key(SECP256R1()).public_key()

    with pytest.raises(InvalidInput, match="Ed25519"):
        parse_public_key(pem.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


@given(st.binary(max_size=70))
def test_base64_reads_back_and_has_one_spelling(data: bytes) -> None:
    text = base64.b64encode(data).decode()

    assert decoded_base64(text) == data
    if text.endswith("="):
        with pytest.raises(ValueError, match=r"base64|padding|Padding"):
            decoded_base64(text.rstrip("="))


@given(st.text(max_size=40))
def test_of_texts_that_decode_only_the_one_that_encodes_is_taken(text: str) -> None:
    try:
        data = decoded_base64(text)
    except ValueError:
        return
    assert base64.b64encode(data).decode() == text
