"""Tokens of sessions: what they are made of, and what is not one."""

from uuid import UUID

import pytest

from notification_core.model.session_token import (
    format_token,
    hash_token,
    ids_in,
    matches_token,
)

ONE, TWO = UUID(int=1), UUID(int=2**128 - 1)
TOKEN = format_token([ONE, TWO], b"\xff" * 32)


def test_a_token_tells_its_ids_and_fits_into_a_url_and_a_cookie() -> None:
    assert ids_in(TOKEN, 2) == [ONE, TWO]
    assert TOKEN.replace("-", "").replace("_", "").isalnum()
    assert TOKEN.isascii()


@pytest.mark.parametrize(
    "text",
    [
        *("", "x", TOKEN[:-1], f"{TOKEN}x", f" {TOKEN}", f"{TOKEN}\n", TOKEN.upper()),
        *(TOKEN[32:], f"{'g' * 32}{TOKEN[32:]}", f"{TOKEN[:-1]}é", "-" * len(TOKEN)),
    ],
)
def test_what_is_not_a_token_has_no_ids(text: str) -> None:
    assert ids_in(text, 2) is None


def test_a_digest_is_of_one_token() -> None:
    digest = hash_token(TOKEN)
    assert matches_token(TOKEN, digest)
    assert not matches_token(f"{TOKEN[:-1]}A", digest)
    assert not matches_token(TOKEN, None)
