"""JSON Web Tokens at the API: every operation, asked with those that do not open it."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from attrs import frozen

from notification_adapters.clock import SystemClock
from notification_adapters.jwt.credentials import JwtCredentials, TokenRules
from notification_adapters.jwt.key_set import KeySet
from notification_core.model.caller import Scope
from tests.entrypoints.api.test_access import GUARDED, IN_GOOD_ORDER, told
from tests.entrypoints.api_callers import Guarded, bearer, guarded
from tests.entrypoints.api_examples import ANOTHER, ENVIRONMENT
from tests.support.issuers import (
    AUDIENCE,
    ISSUER,
    OTHER_RSA_KEY,
    RSA_KEY,
    Issuer,
    issuer,
    published,
    token,
)

LATE = datetime.now(UTC) - timedelta(hours=1)
WRONG: dict[str, dict[str, Any]] = {
    "expired": {"exp": LATE},
    "of another issuer": {"iss": "https://evil.example.com/"},
    "for another audience": {"aud": "billing"},
    "signed by somebody else": {"key": OTHER_RSA_KEY},
    "signed by a key that nobody knows": {"kid": "made-up"},
    "signed by an algorithm that is not accepted": {"algorithm": "PS256"},
}


@frozen
class Door:
    """An API that takes the tokens of an issuer."""

    issuer: Issuer
    guarded: Guarded


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    rules, clock = TokenRules(ISSUER, AUDIENCE, ("RS256",)), SystemClock()
    async with issuer(published(RSA_KEY, "rsa")) as running:
        keys = KeySet(running.url, clock)
        async with guarded(tmp_path, JwtCredentials(rules, keys, clock)) as opened:
            yield Door(running, opened)
        await keys.close()


@pytest.mark.parametrize("changes", WRONG.values(), ids=WRONG)
async def test_a_token_that_is_not_valid_is_rejected(door: Door, changes: dict[str, Any]) -> None:
    before = door.guarded.everything()
    for operation in GUARDED:
        response = await door.guarded.call(operation, bearer(token(**changes)))
        assert response.status == 401, told(operation, response)
        assert 'error="invalid_token"' in response.headers["WWW-Authenticate"]
    assert door.guarded.everything() == before
    assert door.issuer.asked <= 1


async def test_a_token_opens_its_environments_and_no_other(door: Door) -> None:
    theirs = bearer(token(scope="admin", environments=[ANOTHER]))
    nowhere = bearer(token(scope="admin", environments=None))
    before = door.guarded.everything()
    for operation in GUARDED:
        for credential in (theirs, nowhere):
            if operation.environments != "any":
                response = await door.guarded.call(operation, credential)
                expected = 403 if operation.environments == "all" else 404
                assert response.status == expected, told(operation, response)
    assert door.guarded.everything() == before


async def test_a_token_opens_what_its_scope_allows_and_no_more(door: Door) -> None:
    smaller = {Scope.READ: "profile", Scope.WRITE: "read", Scope.ADMIN: "read write"}
    before = door.guarded.everything()
    for operation in GUARDED:
        assert operation.scope
        response = await door.guarded.call(operation, bearer(token(scope=smaller[operation.scope])))
        assert response.status == 403, told(operation, response)
    assert door.guarded.everything() == before
    for operation in IN_GOOD_ORDER:
        own = "all" if operation.environments == "all" else [ENVIRONMENT]
        good = token(scope=f"openid {operation.scope}", environments=own)
        response = await door.guarded.call(operation, bearer(good))
        assert response.status not in {401, 403, 404}, told(operation, response)


async def test_nonsense_from_an_address_locks_out_no_new_token_or_key_there(
    tmp_path: Path,
) -> None:
    rules, clock = TokenRules(ISSUER, AUDIENCE, ("RS256",)), SystemClock()
    async with issuer(published(RSA_KEY, "rsa")) as running:
        keys = KeySet(running.url, clock)
        tokens = JwtCredentials(rules, keys, clock)
        async with guarded(tmp_path, tokens, failures_at_once=3) as door:
            good = [await door.key() for _ in range(5)] + [token(sub=f"{n}") for n in range(5)]
            nonsense = ["nonsense", token(OTHER_RSA_KEY), token(kid="made-up"), "a.b.c"]
            for credential in good:
                for each in nonsense:
                    await door.call(GUARDED[0], bearer(each))
                response = await door.call(GUARDED[0], bearer(credential))
                assert response.status not in {401, 429}, told(GUARDED[0], response)
            assert (await door.call(GUARDED[0], bearer("nonsense"))).status == 429
        await keys.close()
        assert running.asked == 1


async def test_while_the_issuer_is_unavailable_nobody_can_tell(door: Door) -> None:
    door.issuer.response = web.Response(status=502)
    response = await door.guarded.call(GUARDED[0], bearer(token()))
    assert (response.status, response.json["error_code"]) == (503, 1905)
    assert response.headers["Retry-After"] == "1"
