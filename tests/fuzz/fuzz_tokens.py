"""Whatever somebody sends as a token: it is refused, and nobody is taken for anybody."""

import sys
from base64 import urlsafe_b64encode
from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import Any, cast

import atheris
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

with atheris.instrument_imports(include=["jwt", "notification_adapters"]):
    import jwt
    from jwt.algorithms import ECAlgorithm

    from notification_adapters.jwt.credentials import JwtCredentials, TokenRules
    from notification_adapters.memory import ManualClock
    from notification_core.errors import CredentialRefused

BEGINNINGS = (b"", b'{"alg":"ES256","kid":"1"', b'{"alg":"none"', b'{"alg":"HS256","typ":"JWT"')
PUBLIC = generate_private_key(SECP256R1()).public_key()


class OneKey:
    """An issuer that publishes one key, whatever it is asked for."""

    published = jwt.PyJWK({**ECAlgorithm.to_jwk(PUBLIC, as_dict=True), "alg": "ES256"})

    async def key(self, _kid: object, _algorithm: str) -> jwt.PyJWK:
        """Return the key."""
        return self.published


RULES = TokenRules("https://login.example.com/", "us", ("ES256",))
CREDENTIALS = JwtCredentials(
    RULES, cast("Any", OneKey()), ManualClock(datetime(2026, 3, 1, 12, tzinfo=UTC))
)


def one_input(drawn: bytes) -> None:
    """Send a token, its parts drawn each, or all of it."""
    given = atheris.FuzzedDataProvider(drawn)
    begun = BEGINNINGS[given.ConsumeIntInRange(0, len(BEGINNINGS) - 1)]
    header, payload = (given.ConsumeBytes(given.ConsumeIntInRange(0, 200)) for _ in range(2))
    parts = (begun + header, payload, given.ConsumeBytes(64))
    made = b".".join(urlsafe_b64encode(part).rstrip(b"=") for part in parts).decode()
    for credential in (made, drawn.decode(errors="replace")):
        if CREDENTIALS.accepts(credential):
            refused(CREDENTIALS.caller(credential))


def refused(asked: Coroutine[Any, Any, object]) -> None:
    """Fail unless a token is refused in our own words."""
    try:
        asked.send(None)
    except CredentialRefused:
        return
    raise AssertionError("a made-up token is taken")


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
