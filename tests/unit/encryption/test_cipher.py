"""Secrets at rest: readable with the right secret in the right place, and not otherwise."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from notification_core.encryption.cipher import Cipher
from notification_core.errors import UndecipherableText
from tests.support.vectors import vectors

VECTOR = vectors("encryption")
SECRET = VECTOR["secret"]
PLACE = VECTOR["aad"][1:]
OTHER_SECRET = "fedcba9876543210fedcba9876543210"
PARTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x1f"))
PLACES = st.lists(PARTS, min_size=4, max_size=4)


def test_the_contracts_text_is_made_byte_for_byte() -> None:
    plaintext = bytes.fromhex(VECTOR["plaintext_hex"])
    nonce = bytes.fromhex(VECTOR["nonce_hex"])

    assert Cipher(SECRET).kid == VECTOR["kid"]
    assert Cipher(SECRET).encrypt(plaintext, PLACE, nonce) == VECTOR["text"]


def test_the_contracts_text_is_read() -> None:
    assert Cipher(SECRET).decrypt(VECTOR["text"], PLACE).hex() == VECTOR["plaintext_hex"]


@given(plaintext=st.binary(), place=PLACES)
def test_what_is_encrypted_reads_back(plaintext: bytes, place: list[str]) -> None:
    cipher = Cipher(SECRET)

    assert cipher.decrypt(cipher.encrypt(plaintext, place), place) == plaintext


@given(place=PLACES, other=PLACES)
def test_a_text_of_another_place_is_not_read(place: list[str], other: list[str]) -> None:
    assume(place != other)
    text = Cipher(SECRET).encrypt(b"x", place)

    with pytest.raises(UndecipherableText, match="another place"):
        Cipher(SECRET).decrypt(text, other)


@given(st.data())
def test_a_text_with_any_character_changed_is_not_read(data: st.DataObject) -> None:
    text = VECTOR["text"]
    at = data.draw(st.integers(0, len(text) - 1))
    character = data.draw(st.characters(exclude_categories=["Cs"]))
    assume(character != text[at])

    with pytest.raises(UndecipherableText):
        Cipher(SECRET).decrypt(text[:at] + character + text[at + 1 :], PLACE)


def test_a_text_with_stray_bits_in_its_last_character_is_refused() -> None:
    text = Cipher(SECRET).encrypt(b"x", PLACE)
    # 29 bytes leave two bits of the last character unused: they are 0, and now one is not.
    stray = text[:-1] + chr(ord(text[-1]) + 1)

    with pytest.raises(UndecipherableText, match="no encrypted text"):
        Cipher(SECRET).decrypt(stray, PLACE)


def test_the_same_bytes_never_give_the_same_text_twice() -> None:
    cipher = Cipher(SECRET)

    assert len({cipher.encrypt(b"x", PLACE) for _ in range(100)}) == 100


def test_a_previous_secret_still_reads_but_no_longer_writes() -> None:
    rotated = Cipher(OTHER_SECRET, previous=[SECRET])

    assert rotated.decrypt(VECTOR["text"], PLACE).hex() == VECTOR["plaintext_hex"]
    assert rotated.kid != VECTOR["kid"]
    assert rotated.encrypt(b"x", PLACE).startswith(f"v1.{rotated.kid}.")


def test_another_secret_says_that_a_previous_one_is_missing() -> None:
    with pytest.raises(UndecipherableText, match=r"dde4403b.*previous"):
        Cipher(OTHER_SECRET).decrypt(VECTOR["text"], PLACE)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "plain",
        VECTOR["text"].replace("v1.", "v2."),
        VECTOR["text"] + "=",
        VECTOR["text"] + "\n",
        VECTOR["text"] + "A",
        VECTOR["text"].replace(".AAEC", ".AA+/"),
        "v1.dde4403b.",
        "v1.dde4403b.A",
        "v1.dde4403b.AAECAwQFBgcICQoL",
        "v1.DDE4403B.AAECAwQFBgcICQoLXns",
    ],
)
def test_what_is_no_encrypted_text_is_refused(text: str) -> None:
    with pytest.raises(UndecipherableText, match="no encrypted text"):
        Cipher(SECRET).decrypt(text, PLACE)


@pytest.mark.parametrize("text", ["v1.dde4403b.AAECAwQFBgcICQoLXns", VECTOR["text"][:-4]])
def test_a_text_that_was_cut_is_refused(text: str) -> None:
    with pytest.raises(UndecipherableText, match="was changed"):
        Cipher(SECRET).decrypt(text, PLACE)


@pytest.mark.parametrize("secret", ["", SECRET[:-1], SECRET + "!", "hunter2hunter2"])
def test_a_secret_has_exactly_32_characters(secret: str) -> None:
    with pytest.raises(ValueError, match="exactly 32 characters") as refused:
        Cipher(secret)
    assert secret == "" or secret not in str(refused.value)

    with pytest.raises(ValueError, match="exactly 32 characters"):
        Cipher(SECRET, previous=[secret])


def test_a_secret_that_cannot_be_written_in_utf8_is_refused_without_being_shown() -> None:
    secret = "\udc80" + SECRET[1:]

    with pytest.raises(ValueError, match="UTF-8") as refused:
        Cipher(secret)
    assert not isinstance(refused.value, UnicodeError)
    assert refused.value.__suppress_context__


def test_characters_are_counted_not_bytes() -> None:
    cipher = Cipher("é" * 32)

    assert cipher.decrypt(cipher.encrypt(b"x", PLACE), PLACE) == b"x"


def test_a_cipher_shows_its_key_id_and_nothing_else() -> None:
    assert repr(Cipher(SECRET, [OTHER_SECRET])) == "Cipher(kid='dde4403b')"


def test_a_place_cannot_be_made_to_look_like_another() -> None:
    with pytest.raises(ValueError, match="separator"):
        Cipher(SECRET).encrypt(b"x", ["table", "column", "environment\x1frow", ""])


@pytest.mark.parametrize("length", [0, 11, 13])
def test_a_nonce_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match="12 bytes"):
        Cipher(SECRET).encrypt(b"x", PLACE, bytes(length))
