"""Signing secrets: which are taken, which are live, and what a new one does to those before it."""

import base64
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notification_core.errors import InvalidInput
from notification_core.model.secret_text import parse_signing_secret
from notification_core.model.signing_secret import (
    MAX_LIVE_SECRETS,
    OVERLAP,
    SigningSecret,
    live_secrets,
    with_new_secret,
)
from tests.support.samples import NOW


def a_secret(number: int, hours: float = 0) -> SigningSecret:
    return SigningSecret(UUID(int=number), bytes([number]) * 32, NOW + timedelta(hours=hours))


@given(st.binary(min_size=24, max_size=64))
def test_a_secret_is_read_as_it_is_written(content: bytes) -> None:
    secret = SigningSecret(UUID(int=1), content, NOW)
    assert parse_signing_secret(secret.text) == content
    assert str(content) not in repr(secret)


def text_of(content: bytes) -> str:
    return f"whsec_{base64.b64encode(content).decode()}"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "whsec_",
        text_of(bytes(23)),
        text_of(bytes(65)),
        text_of(bytes(25)).rstrip("="),
        text_of(b"\xff" * 24).replace("/", "_"),
        text_of(bytes(24)).removeprefix("whsec_"),
        text_of(bytes(24)).upper(),
        f" {text_of(bytes(24))}",
        f"{text_of(bytes(24))}\n",
        f"whsec_{'ä' * 32}",
    ],
)
def test_what_is_not_a_secret_is_refused_and_not_shown(text: str) -> None:
    with pytest.raises(InvalidInput, match="24 to 64 bytes") as refused:
        parse_signing_secret(text)
    assert [detail.field for detail in refused.value.details] == ["secret"]
    content = text.removeprefix("whsec_").strip()
    assert not content or content not in str(refused.value)


@given(st.lists(st.floats(0, 60), max_size=8))
def test_there_are_never_more_than_two_and_the_previous_one_lasts_a_day(waits: list[float]) -> None:
    secrets: tuple[SigningSecret, ...] = ()
    hours = 0.0
    for number, wait in enumerate(waits):
        hours += wait
        new = a_secret(number, hours)
        before = live_secrets(secrets, new.created_at)
        secrets = with_new_secret(secrets, new)
        live = live_secrets(secrets, new.created_at)
        assert live[0] == new
        assert len(live) <= MAX_LIVE_SECRETS
        if before:
            assert live[1].secret == before[0].secret
            assert live[1].expires_at == new.created_at + OVERLAP
        assert live_secrets(secrets, new.created_at + OVERLAP) == [new]


def live_ids(secrets: Sequence[SigningSecret], hours: float) -> list[int]:
    return [one.secret_id.int for one in live_secrets(secrets, NOW + timedelta(hours=hours))]


def test_a_third_one_ends_the_first_one_at_once() -> None:
    secrets = with_new_secret(with_new_secret((a_secret(1),), a_secret(2, 1)), a_secret(3, 2))
    assert live_ids(secrets, 2) == [3, 2]
    assert live_ids(secrets, 26) == [3]


def test_one_that_expires_already_does_not_get_longer() -> None:
    _, former = with_new_secret((a_secret(1),), a_secret(2))
    assert live_ids(with_new_secret((former,), a_secret(3, 12)), 23.9) == [3, 1]
    assert live_ids(with_new_secret((former,), a_secret(3, 12)), 24) == [3]


def test_a_live_one_cannot_be_given_again_and_an_expired_one_can() -> None:
    secrets = with_new_secret((a_secret(1),), a_secret(2))
    for number in (1, 2):
        again = SigningSecret(UUID(int=9), bytes([number]) * 32, NOW)
        with pytest.raises(InvalidInput, match="has this secret already"):
            with_new_secret(secrets, again)
    later = SigningSecret(UUID(int=9), a_secret(1).secret, NOW + OVERLAP)
    assert live_ids(with_new_secret(secrets, later), 24) == [9, 2]
