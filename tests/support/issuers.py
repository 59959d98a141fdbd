"""An issuer of tokens: a real server on loopback that publishes its keys, and may misbehave."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
from aiohttp import web
from aiohttp.test_utils import TestServer
from attrs import define, field
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

ISSUER = "https://login.example.com/"
AUDIENCE = "notification-management"

# Making an RSA key takes a good part of a second.
RSA_KEY = rsa.generate_private_key(65537, 2048)
OTHER_RSA_KEY = rsa.generate_private_key(65537, 2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
ED_KEY = ed25519.Ed25519PrivateKey.generate()

SigningKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


def published(key: SigningKey, kid: str, **members: Any) -> dict[str, Any]:
    """Return the public half of a key as it is published."""
    return {**_jwk(key), "kid": kid, "use": "sig", **members}


def _jwk(key: SigningKey) -> dict[str, Any]:
    match key:
        case rsa.RSAPrivateKey():
            return RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
        case ec.EllipticCurvePrivateKey():
            return ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
        case ed25519.Ed25519PrivateKey():
            return OKPAlgorithm.to_jwk(key.public_key(), as_dict=True)


@define
class Issuer:
    """What the server at ``url`` publishes, and how often it was asked.

    ``answer`` is what it answers in place of its keys.
    """

    url: str = ""
    keys: list[dict[str, Any]] = field(factory=list)
    asked: int = 0
    response: web.Response | None = None
    held: asyncio.Event | None = None
    called: asyncio.Event = field(factory=asyncio.Event)

    async def serve(self, _: web.Request) -> web.Response:
        """Answer with the keys."""
        self.asked += 1
        self.called.set()
        if self.held:
            await self.held.wait()
        response, self.response = self.response, None
        return response or web.json_response({"keys": self.keys})


@asynccontextmanager
async def issuer(*keys: dict[str, Any]) -> AsyncIterator[Issuer]:
    """Run an issuer for the length of the block."""
    made = Issuer(keys=list(keys))
    app = web.Application()
    app.router.add_get("/jwks.json", made.serve)
    app.router.add_get("/elsewhere", made.serve)
    async with TestServer(app) as server:
        made.url = str(server.make_url("/jwks.json"))
        yield made


def claims(**changes: Any) -> dict[str, Any]:
    """Return the claims of a good token, changed; one that becomes None is left out."""
    now = datetime.now(UTC)
    good = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "anna",
        "iat": now,
        "exp": now + timedelta(minutes=5),
        "scope": "openid write",
        "environments": ["0b6f2e0c-5d0c-4d7e-8a57-2f7a3f0f6f10"],
    }
    return {name: value for name, value in (good | changes).items() if value is not None}


def token(
    key: SigningKey | bytes = RSA_KEY,
    kid: str | None = "rsa",
    algorithm: str = "RS256",
    headers: dict[str, Any] | None = None,
    **changes: Any,
) -> str:
    """Return a token that is signed, and by default a good one."""
    named = {} if kid is None else {"kid": kid}
    return jwt.encode(claims(**changes), key, algorithm, {**named, **(headers or {})})
