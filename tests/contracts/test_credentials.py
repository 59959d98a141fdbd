"""What each kind of credentials promises."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from uuid import UUID

import pytest
from attrs import frozen

from notification_adapters.jwt.credentials import JwtCredentials, TokenRules
from notification_adapters.jwt.key_set import KeySet
from notification_adapters.memory import ManualClock
from notification_adapters.memory.credentials import MemoryCredentials
from notification_core.access.api_keys import ApiKeyDraft
from notification_core.access.authentication import BootstrapKey
from notification_core.errors import CredentialRefused
from notification_core.model.api_key import format_api_key, hash_api_key
from notification_core.model.caller import Caller, Scope
from notification_core.ports.credentials import CredentialScheme
from tests.support.assembly import MemoryApp
from tests.support.issuers import (
    AUDIENCE,
    ISSUER,
    OTHER_RSA_KEY,
    RSA_KEY,
    issuer,
    published,
    token,
)

ENVIRONMENTS = frozenset({UUID("0b6f2e0c-5d0c-4d7e-8a57-2f7a3f0f6f10")})


@frozen
class Kind:
    """A kind of credentials: a good one with its caller, and one of the kind that is not good."""

    credentials: CredentialScheme
    good: str
    caller: Caller
    bad: str


async def _stored() -> Kind:
    app = MemoryApp()
    issued = await app.api_keys.create(ApiKeyDraft("A key", Scope.WRITE, ENVIRONMENTS))
    return Kind(
        app.stored_keys,
        issued.secret_text,
        issued.key.caller,
        format_api_key(issued.key.key_id, b"t" * 32),
    )


def _bootstrap() -> Kind:
    good = "g" * 32
    return Kind(BootstrapKey(hash_api_key(good)), good, Caller("bootstrap", Scope.ADMIN), "b" * 32)


def _in_memory() -> Kind:
    caller = Caller("anna", Scope.READ)
    return Kind(MemoryCredentials({"good": caller}), "good", caller, "bad")


@pytest.fixture(params=["stored", "bootstrap", "memory", "jwt"])
async def kind(request: pytest.FixtureRequest) -> AsyncIterator[Kind]:
    """Every kind of credentials in turn."""
    match request.param:
        case "stored":
            yield await _stored()
        case "bootstrap":
            yield _bootstrap()
        case "memory":
            yield _in_memory()
        case _:
            async with issuer(published(RSA_KEY, "rsa")) as running:
                clock = ManualClock(datetime.now(UTC))
                keys = KeySet(running.url, clock)
                tokens = JwtCredentials(TokenRules(ISSUER, AUDIENCE, ("RS256",)), keys, clock)
                anna = Caller("jwt:anna", Scope.WRITE, ENVIRONMENTS)
                yield Kind(tokens, token(), anna, token(OTHER_RSA_KEY))
                await keys.close()


async def test_a_good_credential_identifies_the_caller_each_time(kind: Kind) -> None:
    assert kind.credentials.accepts(kind.good)
    for _ in range(2):
        assert await kind.credentials.caller(kind.good) == kind.caller


async def test_one_that_is_not_good_is_refused_and_never_quoted(kind: Kind) -> None:
    await kind.credentials.caller(kind.good)
    for _ in range(2):
        with pytest.raises(CredentialRefused) as refused:
            await kind.credentials.caller(kind.bad)
        assert kind.bad not in str(refused.value)


@pytest.mark.parametrize("text", ["", ".", "whk_", "a.b.c", "x" * 10_000])
async def test_what_is_not_a_credential_is_refused(kind: Kind, text: str) -> None:
    with pytest.raises(CredentialRefused):
        await kind.credentials.caller(text)


async def test_a_subject_tells_credentials_apart_and_is_none_of_them(kind: Kind) -> None:
    for credential in (kind.good, kind.bad):
        subject = kind.credentials.subject(credential)
        assert subject is None or credential not in subject


async def test_a_grant_is_of_the_same_caller_and_valid_as_long_as_its_credential(
    kind: Kind,
) -> None:
    grant = await kind.credentials.grant(kind.good)
    assert grant.caller == kind.caller
    assert await kind.credentials.is_valid(grant.reference)
    assert kind.good not in grant.reference
    for reference in ("", "key:", "key:1", f"{grant.reference}0", "another:1"):
        assert not await kind.credentials.is_valid(reference)


async def test_what_is_refused_grants_nothing(kind: Kind) -> None:
    with pytest.raises(CredentialRefused):
        await kind.credentials.grant(kind.bad)
