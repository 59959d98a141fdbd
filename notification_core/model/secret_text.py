"""Symmetric signing secrets as text: what receivers are given, and what their owner may give.

Apart from the secrets themselves, since whoever only verifies needs nothing else of them.
"""

from notification_core.errors import Detail, InvalidInput
from notification_core.model.public_keys import decoded_base64

SECRET_PREFIX = "whsec_"  # noqa: S105 - what secrets begin with

SECRET_LENGTHS = range(24, 65)
"""How many bytes a secret may have."""


def parse_signing_secret(text: str) -> bytes:
    """Return the bytes of ``whsec_…``; raise :class:`InvalidInput`, which does not show them."""
    try:
        secret = decoded_base64(text.removeprefix(SECRET_PREFIX))
    except ValueError:
        secret = b""
    if not text.startswith(SECRET_PREFIX) or len(secret) not in SECRET_LENGTHS:
        lengths = f"{SECRET_LENGTHS[0]} to {SECRET_LENGTHS[-1]}"
        problem = f"A signing secret is {SECRET_PREFIX} and the padded base64 of {lengths} bytes."
        raise InvalidInput(problem, [Detail("secret", problem)])
    return secret
