"""Public keys as text: the forms that whoever verifies may have one in.

It is apart from the keys that sign, so that verifying brings along no more than it needs.
"""

import base64
import binascii
import re

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from notification_core.errors import InvalidInput

PUBLIC_KEY_PREFIX = "whpk_"
"""What Standard Webhooks puts before the base64 of a public key."""

_RAW_LENGTH = 32
_HEX = re.compile(r"[0-9A-Fa-f]{64}")
# Under a key of small order (RFC 8032's curve has eight such points) anybody can make a signature
# that verifies. These are their y coordinates, with those that are not reduced modulo p.
_P = 2**255 - 19
_ORDER_8_Y = int.from_bytes(
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little"
)
_SMALL_ORDER_Y = frozenset({0, 1, _P - 1, _P, _P + 1, _ORDER_8_Y, _P - _ORDER_8_Y})
_ACCEPTED = "Give it as 64 hex digits, as base64, as PEM, or as whpk_ and base64."


def parse_public_key(text: str | bytes) -> bytes:
    """Return the raw public key that stands in hex, base64, PEM or ``whpk_…``.

    Raises :class:`InvalidInput` for anything else, also for a key of another algorithm or one of
    small order, under which anybody can sign (RFC 8032, section 7; "ed25519-speccheck").
    """
    try:
        text = (text.decode("ascii") if isinstance(text, bytes) else text).strip()
    except UnicodeDecodeError:
        raise InvalidInput(f"This is not a public key in text form. {_ACCEPTED}") from None
    if text.startswith("-----BEGIN"):
        key = _from_pem(text)
    elif _HEX.fullmatch(text):
        key = bytes.fromhex(text)
    else:
        key = _from_base64(text.removeprefix(PUBLIC_KEY_PREFIX))
    if int.from_bytes(key, "little") % 2**255 in _SMALL_ORDER_Y:  # the last bit is x's sign
        raise InvalidInput("This public key has small order, so that anybody can sign for it.")
    return key


def decoded_base64(text: str) -> bytes:
    """Return what canonical, padded base64 stands for; raise ``ValueError`` for any other text.

    The standard library also takes texts with stray bits in the last digit, so that several
    texts stand for the same bytes.
    """
    data = base64.b64decode(text, validate=True)
    if base64.b64encode(data).decode() != text:
        raise binascii.Error("Not canonical base64")
    return data


def _from_pem(text: str) -> bytes:
    from cryptography.hazmat.primitives.serialization import load_pem_public_key  # noqa: PLC0415 - it brings SSH along, a sixth of the import

    try:
        key = load_pem_public_key(text.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise InvalidInput(f"This PEM holds no public key that can be read. {_ACCEPTED}") from None
    if not isinstance(key, Ed25519PublicKey):
        raise InvalidInput("This PEM holds a key of another algorithm; an Ed25519 key is needed.")
    return key.public_bytes_raw()


def _from_base64(text: str) -> bytes:
    try:
        key = decoded_base64(text)
    except ValueError:
        raise InvalidInput(f"This is not a public key. {_ACCEPTED}") from None
    if len(key) != _RAW_LENGTH:
        raise InvalidInput(f"An Ed25519 public key has {_RAW_LENGTH} bytes. {_ACCEPTED}")
    return key
