"""API keys: how they are written, told apart and checked."""

import re
from datetime import timedelta
from uuid import UUID

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from notification_core.model.api_key import (
    SECRET_BYTES,
    ApiKey,
    KeyState,
    api_key_id_in,
    format_api_key,
    hash_api_key,
    matches_hash,
)
from notification_core.model.caller import ANYBODY, Caller, Scope
from tests.support.samples import ENVIRONMENT, NOW

ID = UUID("019ab5c2-7a10-7c31-9f04-6a3d7e2b1c55")
TEXT = format_api_key(ID, b"\xff" * SECRET_BYTES)
KEY = ApiKey(
    key_id=ID,
    name="Platform",
    scope=Scope.WRITE,
    environments=None,
    digest=hash_api_key(TEXT),
    created_at=NOW,
)


@given(st.uuids(), st.binary(min_size=SECRET_BYTES, max_size=SECRET_BYTES))
def test_a_key_tells_its_id_and_is_one_word(key_id: UUID, data: bytes) -> None:
    text = format_api_key(key_id, data)
    assert api_key_id_in(text) == key_id.hex
    assert re.fullmatch(r"whk_\w+", text, re.ASCII)


@given(*[st.binary(min_size=SECRET_BYTES, max_size=SECRET_BYTES)] * 2)
def test_two_secrets_make_two_keys(one: bytes, another: bytes) -> None:
    assert (format_api_key(ID, one) == format_api_key(ID, another)) is (one == another)


@pytest.mark.parametrize(
    "text", ["", "whk_", TEXT + "\n", TEXT[:-1], TEXT + "0", TEXT.upper(), f" {TEXT}", "eyJ.e30.x"]
)
def test_what_is_no_key_has_no_id(text: str) -> None:
    assert api_key_id_in(text) is None


def test_only_the_whole_key_is_genuine() -> None:
    assert matches_hash(TEXT, KEY.digest)
    another = format_api_key(ID, b"\xfe" * SECRET_BYTES)
    assert not matches_hash(another, KEY.digest)
    assert not matches_hash(TEXT, hash_api_key(TEXT[:-1]))


def test_a_key_is_active_until_it_expires_or_is_revoked() -> None:
    expiring = evolve(KEY, expires_at=NOW)
    assert KEY.state(NOW) is KeyState.ACTIVE
    assert expiring.state(NOW - timedelta(microseconds=1)) is KeyState.ACTIVE
    assert expiring.state(NOW) is KeyState.EXPIRED
    assert evolve(expiring, revoked_at=NOW).state(NOW) is KeyState.REVOKED


def test_neither_a_key_nor_its_digest_is_shown() -> None:
    assert repr(KEY.digest) not in repr(KEY)
    assert TEXT not in repr(KEY)


@pytest.mark.parametrize(
    ("scope", "allowed"),
    [
        (Scope.READ, {Scope.READ}),
        (Scope.WRITE, {Scope.READ, Scope.WRITE}),
        (Scope.ADMIN, {Scope.READ, Scope.WRITE, Scope.ADMIN}),
        (None, set()),
    ],
)
def test_a_scope_includes_the_smaller_ones(scope: Scope | None, allowed: set[Scope]) -> None:
    assert Caller("x", scope).scopes == allowed


def test_a_caller_reaches_its_environments_or_all() -> None:
    assert ANYBODY.reaches(ENVIRONMENT)
    assert Caller("x", Scope.ADMIN, frozenset({ENVIRONMENT})).reaches(ENVIRONMENT)
    assert not Caller("x", Scope.ADMIN, frozenset()).reaches(ENVIRONMENT)
    assert not Caller("x", Scope.ADMIN, frozenset({ID})).reaches(ENVIRONMENT)
