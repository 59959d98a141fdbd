"""What whoever unwraps secrets promises, and what ours makes of a Vault that answers badly."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from aiohttp import web
from attrs import frozen

from notification_adapters.http.destination_guard import system_trust, trust_in
from notification_adapters.null_objects import NoWrapping
from notification_adapters.vault import MAX_BYTES, VaultTransit
from notification_core.errors import NotificationError, UnwrappingRefused
from notification_core.ports.key_wrapping import KeyWrapping
from tests.support.certificates import Authority
from tests.support.receivers import LOOPBACK, PlainResponse, Receiver
from tests.support.vault_server import KEY, TOKEN, VaultServer, vault_server

SECRET = "0123456789abcdef0123456789abcdeé"


@frozen
class Wrapped:
    """Who unwraps, and how a secret is wrapped for it."""

    wrapping: KeyWrapping
    wrap: Callable[[str], str]


@pytest.fixture(params=["as it is", "vault"])
async def wrapped(request: pytest.FixtureRequest) -> AsyncIterator[Wrapped]:
    if request.param == "as it is":
        yield Wrapped(NoWrapping(), str)
        return
    async with vault_server() as server, transit(server.uri) as wrapping:
        yield Wrapped(wrapping, server.wrap)


@pytest.fixture
async def vault() -> AsyncIterator[VaultServer]:
    async with vault_server() as server:
        yield server


@asynccontextmanager
async def transit(uri: str, token: str = TOKEN, key: str = KEY) -> AsyncIterator[VaultTransit]:
    wrapping = VaultTransit(uri, key, token, system_trust())
    try:
        yield wrapping
    finally:
        await wrapping.close()


async def refusal(vault: VaultServer, wrapped: str = "", **how: str) -> str:
    """Have a text unwrapped that cannot be; return the sentence that says why."""
    async with transit(vault.uri, **how) as wrapping:
        with pytest.raises(NotificationError) as refused:
            await wrapping.unwrap(wrapped or vault.wrap(SECRET))
    assert TOKEN not in repr(refused.value)
    assert SECRET not in repr(refused.value)
    return f"{type(refused.value).__name__}: {refused.value}"


async def test_what_was_wrapped_is_the_same_again_each_time(wrapped: Wrapped) -> None:
    text = wrapped.wrap(SECRET)
    assert [await wrapped.wrapping.unwrap(text) for _ in range(2)] == [SECRET, SECRET]


class TestVault:
    async def test_a_text_of_another_key_is_refused(self, vault: VaultServer) -> None:
        text = vault.wrap(SECRET)
        told = await refusal(vault, f"{text[:-8]}AAAAAAA=")
        assert "UnwrappingRefused: Vault returned 400: Vault cannot unwrap it" in told

    async def test_a_token_or_key_that_is_wrong_is_named(self, vault: VaultServer) -> None:
        assert "403: Vault refuses the token" in await refusal(vault, token="hvs.another")
        assert "403: Vault refuses the token" in await refusal(vault, token="")
        assert "404: Vault has no such key" in await refusal(vault, key="another")
        assert len(vault.receiver.requests) == 3

    async def test_it_is_not_followed_elsewhere(self, vault: VaultServer) -> None:
        vault.receiver.respond(web.Response(status=307, headers={"Location": "/elsewhere"}))
        assert "307" in await refusal(vault)
        assert len(vault.receiver.requests) == 1

    @pytest.mark.parametrize("trouble", [500, 503, "reset"])
    async def test_a_passing_trouble_is_asked_again(
        self, vault: VaultServer, trouble: PlainResponse
    ) -> None:
        vault.receiver.respond(trouble, vault.respond)
        async with transit(vault.uri) as wrapping:
            assert await wrapping.unwrap(vault.wrap(SECRET)) == SECRET

    async def test_one_that_stays_away_is_given_up(
        self, vault: VaultServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("notification_adapters.vault.TOTAL", timedelta(seconds=3))
        vault.receiver.respond(503)
        assert "KeyServiceUnavailable: Vault returned 503" in await refusal(vault)
        await vault.receiver.down()
        assert "KeyServiceUnavailable: Vault does not answer" in await refusal(vault)

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"<html>",
            b'{"data": {}}',
            b'{"data": {"plaintext": "no base64!"}}',
            b'{"data": {"plaintext": "/w=="}}',
            b'{"data": ' + b"[" * 5000,
            b'"' + b"x" * MAX_BYTES + b'"',
        ],
        ids=["nothing", "a page", "no text", "no base64", "no UTF-8", "deep", "long"],
    )
    async def test_a_response_that_is_none_is_refused(
        self, vault: VaultServer, body: bytes
    ) -> None:
        vault.receiver.respond(lambda _: web.Response(body=body))
        assert "UnwrappingRefused: Vault gives a response that is" in await refusal(vault)

    async def test_its_certificate_is_verified(self, tmp_path: Path) -> None:
        authority = Authority(tmp_path)
        context = authority.server("localhost")
        (tmp_path / "ca.pem").write_text(authority.certificate)
        async with Receiver(ssl_context=context) as receiver:
            server = VaultServer(receiver)
            receiver.respond(server.respond)
            server_uri = server.uri.replace(LOOPBACK, "localhost")
            async with transit(server_uri) as wrapping:
                with pytest.raises(UnwrappingRefused, match="DB_ENCRYPTION_VAULT_CA_FILE"):
                    await wrapping.unwrap(server.wrap(SECRET))
            trusting = VaultTransit(server_uri, KEY, TOKEN, trust_in(tmp_path / "ca.pem"))
            assert await trusting.unwrap(server.wrap(SECRET)) == SECRET
            await trusting.close()
