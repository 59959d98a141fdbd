"""A server that answers as Vault's transit engine does, on loopback."""

import json
import os
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from attrs import define, field
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.support.receivers import PlainResponse, ReceivedRequest, Receiver

KEY = "notification-management"
TOKEN = "hvs.the-token-of-the-tests"


@define
class VaultServer:
    """Wraps and unwraps under one key, for whoever shows the token."""

    receiver: Receiver
    token: str = TOKEN
    _aead: AESGCM = field(factory=lambda: AESGCM(bytes(32)), repr=False)

    @property
    def uri(self) -> str:
        """Where the engine is mounted."""
        return f"{self.receiver.url}v1/transit"

    def wrap(self, secret: str) -> str:
        """Do what ``vault write transit/encrypt/KEY`` does."""
        nonce = os.urandom(12)
        sealed = nonce + self._aead.encrypt(nonce, secret.encode(), None)
        return f"vault:v1:{b64encode(sealed).decode()}"

    def respond(self, asked: ReceivedRequest) -> PlainResponse:
        """Answer as Vault does."""
        if asked.headers.get("X-Vault-Token") != self.token:
            return _refusal(403, "permission denied")
        if (asked.method, asked.path) != ("POST", f"/v1/transit/decrypt/{KEY}"):
            return _refusal(404)
        sealed = b64decode(json.loads(asked.body)["ciphertext"].removeprefix("vault:v1:"))
        try:
            secret = self._aead.decrypt(sealed[:12], sealed[12:], None)
        except InvalidTag:
            return _refusal(400, "cipher: message authentication failed")
        return web.json_response({"data": {"plaintext": b64encode(secret).decode()}})


def _refusal(status: int, *errors: str) -> web.Response:
    return web.json_response({"errors": list(errors)}, status=status)


@asynccontextmanager
async def vault_server() -> AsyncIterator[VaultServer]:
    """Run one for the length of the block."""
    async with Receiver() as receiver:
        server = VaultServer(receiver)
        receiver.respond(server.respond)
        yield server
