"""Unwrapping by HashiCorp Vault (or OpenBao): its secrets engine ``transit``, over HTTP.

``POST {mount}/decrypt/{key}`` with ``{"ciphertext": "vault:v1:…"}`` is answered by
``{"data": {"plaintext": base64}}``; the key itself never leaves Vault.
"""

from base64 import b64decode
from collections.abc import Mapping
from datetime import timedelta
from ssl import SSLContext

import msgspec
from aiohttp import (
    ClientConnectionError,
    ClientConnectorCertificateError,
    ClientConnectorSSLError,
    ClientError,
    ClientSession,
    ClientTimeout,
    DummyCookieJar,
    TCPConnector,
    hdrs,
)
from tenacity import (
    AsyncRetrying,
    retry_if_exception_type,
    stop_after_delay,
    wait_random_exponential,
)

from notification_adapters.bounded_body import ResponseTooLong, read_at_most
from notification_core.errors import KeyServiceUnavailable, UnwrappingRefused
from notification_core.ports.key_wrapping import KeyWrapping

TOTAL = timedelta(seconds=10)
"""How long unwrapping may take, repetitions included: a start waits for it."""

MAX_BYTES = 64 * 1024

_ATTEMPT = timedelta(seconds=3)
_LONGEST_PAUSE = 2.0
_OK = 200
_MEANING: Mapping[int, str] = {
    400: "Vault cannot unwrap it: it was wrapped by another key, or was changed",
    403: "Vault refuses the token, or lets it not decrypt by this key",
    404: "Vault has no such key, or nothing at this path",
}
_PASSING = frozenset({429, 500, 502, 503, 504})


class _Data(msgspec.Struct):
    plaintext: str


class _Response(msgspec.Struct):
    data: _Data


_RESPONSE = msgspec.json.Decoder(_Response)


class VaultTransit(KeyWrapping):
    """Unwraps by a key of Vault's; to be made where an event loop runs.

    ``uri`` is where the engine is mounted (``https://vault.example.com:8200/v1/transit``). Without
    a ``token`` none is sent: an agent in between adds its own.
    """

    def __init__(self, uri: str, key: str, token: str, trust: SSLContext) -> None:
        self._url = f"{uri.rstrip('/')}/decrypt/{key}"
        self._session = ClientSession(
            connector=TCPConnector(ssl=trust),
            cookie_jar=DummyCookieJar(),
            timeout=ClientTimeout(total=_ATTEMPT.total_seconds()),
            trust_env=False,
            auto_decompress=False,
            headers={
                hdrs.ACCEPT_ENCODING: "identity",
                "X-Vault-Request": "true",
                **({"X-Vault-Token": token} if token else {}),
            },
        )

    async def unwrap(self, wrapped: str) -> str:
        """Return the secret that a ciphertext stands for; ask again for a while."""
        asking = AsyncRetrying(
            retry=retry_if_exception_type(KeyServiceUnavailable),
            stop=stop_after_delay(TOTAL - _ATTEMPT),
            wait=wait_random_exponential(multiplier=0.1, max=_LONGEST_PAUSE),
            reraise=True,
        )
        body: bytes = await asking(self._ask, wrapped)
        try:
            return b64decode(_RESPONSE.decode(body).data.plaintext, validate=True).decode()
        except (ValueError, msgspec.MsgspecError, RecursionError):
            # Python's own error would show a part of what was unwrapped.
            raise UnwrappingRefused(
                "Vault gives a response that is no wrapped text of ours."
            ) from None

    async def close(self) -> None:
        """Close idle connections."""
        await self._session.close()

    async def _ask(self, wrapped: str) -> bytes:
        ciphertext = {"ciphertext": wrapped}
        try:
            async with self._session.post(
                self._url, json=ciphertext, allow_redirects=False
            ) as response:
                status = response.status
                if status in _PASSING:
                    raise KeyServiceUnavailable(
                        f"Vault returned {status}: it may be sealed, or busy."
                    )
                if status != _OK:
                    meaning = _MEANING.get(status, "200 is expected of the node that is named")
                    raise UnwrappingRefused(f"Vault returned {status}: {meaning}.")
                return await read_at_most(response, MAX_BYTES)
        except (ClientConnectorCertificateError, ClientConnectorSSLError) as error:
            raise UnwrappingRefused(
                "Vault shows a certificate that is not trusted: name the CA that issued it in "
                "DB_ENCRYPTION_VAULT_CA_FILE."
            ) from error
        except (ClientConnectionError, TimeoutError) as error:
            raise KeyServiceUnavailable("Vault does not answer.") from error
        except ResponseTooLong as error:
            raise UnwrappingRefused("Vault gives a response that is too long.") from error
        except ClientError as error:
            raise UnwrappingRefused("Vault gives a response that is not HTTP.") from error
