"""JSON Web Tokens: those of our issuer for us, and everything that only looks like one."""

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from aiohttp import web
from attrs import define, evolve
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import RSAAlgorithm

from notification_adapters.jwt.credentials import JwtCredentials, TokenRules
from notification_adapters.jwt.key_set import (
    FRESH_FOR,
    KEPT_FOR,
    MAX_BYTES,
    PAUSE,
    PAUSE_AFTER_FAILURE,
    KeySet,
)
from notification_adapters.memory import ManualClock
from notification_core.errors import CredentialRefused, IssuerUnavailable
from notification_core.model.caller import Caller, Scope
from tests.entrypoints.api_examples import ENVIRONMENT
from tests.support.issuers import (
    AUDIENCE,
    EC_KEY,
    ED_KEY,
    ISSUER,
    OTHER_RSA_KEY,
    RSA_KEY,
    Issuer,
    issuer,
    published,
    token,
)

RULES = TokenRules(ISSUER, AUDIENCE, ("RS256", "ES256", "EdDSA"))
ANNA = Caller("jwt:anna", Scope.WRITE, frozenset({UUID(ENVIRONMENT)}))


@define
class Tokens:
    """An issuer of tokens, and the credentials that accept them."""

    issuer: Issuer
    clock: ManualClock
    credentials: JwtCredentials

    async def refusal(self, credential: str) -> str:
        """Return why a token is refused."""
        with pytest.raises(CredentialRefused) as refused:
            await self.credentials.caller(credential)
        return str(refused.value)


@asynccontextmanager
async def opened(rules: TokenRules = RULES) -> AsyncIterator[Tokens]:
    keys = published(RSA_KEY, "rsa"), published(EC_KEY, "ec"), published(ED_KEY, "ed")
    async with issuer(*keys) as running:
        clock = ManualClock(datetime.now(UTC))
        key_set = KeySet(running.url, clock)
        try:
            yield Tokens(running, clock, JwtCredentials(rules, key_set, clock))
        finally:
            await key_set.close()


@pytest.fixture
async def tokens() -> AsyncIterator[Tokens]:
    async with opened() as tokens:
        yield tokens


def unsigned(header: object, payload: object) -> str:
    parts = [json.dumps(each).encode() for each in (header, payload)]
    return ".".join(base64.urlsafe_b64encode(each).rstrip(b"=").decode() for each in parts)


class TestAGoodToken:
    @pytest.mark.parametrize(
        ("key", "kid", "algorithm"),
        [(RSA_KEY, "rsa", "RS256"), (EC_KEY, "ec", "ES256"), (ED_KEY, "ed", "EdDSA")],
    )
    async def test_identifies_the_caller(
        self, tokens: Tokens, key: Any, kid: str, algorithm: str
    ) -> None:
        good = token(key, kid, algorithm)
        assert tokens.credentials.accepts(good)
        assert await tokens.credentials.caller(good) == ANNA

    @pytest.mark.parametrize(
        ("claim", "scope"),
        [
            ("read", Scope.READ),
            ("profile admin read", Scope.ADMIN),
            (["read", "write"], Scope.WRITE),
            ("", None),
            ("administrator", None),
            (None, None),
            (["admin", 1], Scope.ADMIN),
            ({"admin": 1}, None),
            (7, None),
        ],
    )
    async def test_has_the_largest_scope_that_it_names(
        self, tokens: Tokens, claim: object, scope: Scope | None
    ) -> None:
        assert (await tokens.credentials.caller(token(scope=claim))).scope is scope

    @pytest.mark.parametrize(
        ("claim", "environments"),
        [
            ("all", None),
            (None, frozenset()),
            ([], frozenset()),
            (ENVIRONMENT, frozenset({UUID(ENVIRONMENT)})),
        ],
    )
    async def test_is_good_for_the_environments_that_it_names(
        self, tokens: Tokens, claim: object, environments: frozenset[UUID] | None
    ) -> None:
        assert (
            await tokens.credentials.caller(token(environments=claim))
        ).environments == environments

    async def test_says_it_in_the_claims_that_are_configured(self) -> None:
        rules = evolve(RULES, scope_claim="scp", environments_claim="https://x/env")
        changes: dict[str, Any] = {"scp": ["admin"], "https://x/env": "all", "scope": "read"}
        async with opened(rules) as tokens:
            caller = await tokens.credentials.caller(token(**changes))
        assert caller == Caller("jwt:anna", Scope.ADMIN)

    async def test_may_be_for_several_audiences(self, tokens: Tokens) -> None:
        assert await tokens.credentials.caller(token(aud=["other", AUDIENCE])) == ANNA

    async def test_is_checked_once_a_minute(self, tokens: Tokens) -> None:
        good = token(exp=datetime.now(UTC) + timedelta(days=1))
        for _ in range(3):
            await tokens.credentials.caller(good)
        tokens.issuer.keys.clear()
        await tokens.clock.advance(FRESH_FOR.total_seconds())
        assert "does not publish" in await tokens.refusal(good)

    async def test_that_has_expired_is_good_no_longer_however_fresh_it_is(
        self, tokens: Tokens
    ) -> None:
        good = token(exp=datetime.now(UTC) + timedelta(seconds=30))
        await tokens.credentials.caller(good)
        await tokens.clock.advance(39)
        await tokens.credentials.caller(good)
        await tokens.clock.advance(1)
        assert "expired" in await tokens.refusal(good)


WRONG: dict[str, dict[str, Any]] = {
    "another issuer": {"iss": "https://evil.example.com/"},
    "no issuer": {"iss": None},
    "another audience": {"aud": "billing"},
    "no audience": {"aud": None},
    "an audience that is no text": {"aud": {AUDIENCE: 1}},
    "no expiry": {"exp": None},
    "no number for an expiry": {"exp": "tomorrow"},
    "an endless expiry": {"exp": float("inf")},
    "an expiry of 400 digits": {"exp": 10**400},
    "a beginning of 400 digits": {"nbf": -(10**400)},
    "an expiry that is not a number": {"exp": float("nan")},
    "half a character in a name": {"sub": "anna\ud800"},
    "a name that no storage holds": {"sub": "an\0na"},
    "half a character in a scope's environments": {"environments": "\ud800"},
    "an id that is a number": {"jti": 7},
    "not yet": {"nbf": datetime.now(UTC) + timedelta(minutes=5)},
    "nobody": {"sub": None},
    "somebody without a name": {"sub": ""},
    "a name without an end": {"sub": "a" * 257},
    "environments that are not ids": {"environments": ["mine"]},
    "environments that are no list": {"environments": {"a": 1}},
    "nothing but stars": {"environments": "*"},
}


class TestATokenOfOurIssuer:
    @pytest.mark.parametrize("changes", WRONG.values(), ids=WRONG)
    async def test_that_does_not_say_what_it_must_is_refused(
        self, tokens: Tokens, changes: dict[str, Any]
    ) -> None:
        assert await tokens.refusal(token(**changes))

    @pytest.mark.parametrize(
        "typ", ["secevent+jwt", "logout+jwt", "dpop+jwt", "JOSE", 7, ["JWT"], "\ud800"]
    )
    async def test_that_is_of_another_type_is_refused(self, tokens: Tokens, typ: object) -> None:
        assert await tokens.refusal(token(headers={"typ": typ}))

    @pytest.mark.parametrize("typ", ["JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt"])
    async def test_that_is_of_a_type_for_access_is_good(self, tokens: Tokens, typ: str) -> None:
        assert await tokens.credentials.caller(token(headers={"typ": typ})) == ANNA

    async def test_that_is_deep_is_refused(self, tokens: Tokens) -> None:
        deep: object = []
        for _ in range(900):
            deep = [deep]
        assert await tokens.refusal(token(headers={"x": deep}, exp=[deep]))

    async def test_that_has_expired_is_told_so(self, tokens: Tokens) -> None:
        late = token(exp=datetime.now(UTC) - timedelta(minutes=1))
        assert "expired" in await tokens.refusal(late)

    async def test_that_was_cut_or_changed_is_refused(self, tokens: Tokens) -> None:
        good = token()
        header, payload, signature = good.split(".")
        other = token(scope="admin").split(".")[1]
        for bad in (
            f"{header}.{other}.{signature}",
            f"{header}.{payload}.{signature[:-4]}",
            f"{header}.{payload}.AAAA",
            f"{token(headers={'x': 1}).split('.')[0]}.{payload}.{signature}",
        ):
            assert "signature, issuer or audience is invalid" in await tokens.refusal(bad)


class TestConfusion:
    @pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "", None, ["RS256"], 7])
    async def test_of_no_signature_with_a_good_one(self, tokens: Tokens, algorithm: object) -> None:
        payload = {"iss": ISSUER, "aud": AUDIENCE, "sub": "anna", "exp": 2**40, "scope": "admin"}
        text = unsigned({"alg": algorithm, "kid": "rsa"}, payload)
        assert not tokens.credentials.accepts(f"{text}.")
        for signature in ("", "AAAA"):
            assert await tokens.refusal(f"{text}.{signature}")

    async def test_of_a_public_key_with_a_secret(self, tokens: Tokens) -> None:
        # Whoever knows the public key could sign with it, if it were taken for a secret one.
        pem = RSA_KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        payload = {"iss": ISSUER, "aud": AUDIENCE, "sub": "anna", "exp": 2**40, "scope": "admin"}
        for name in ("HS256", "RS256"):
            text = unsigned({"alg": name, "kid": "rsa"}, payload)
            made = base64.urlsafe_b64encode(hmac.digest(pem, text.encode(), hashlib.sha256))
            assert await tokens.refusal(f"{text}.{made.rstrip(b'=').decode()}")

    async def test_of_a_secret_that_the_issuer_published_by_mistake(self) -> None:
        secret = base64.urlsafe_b64encode(b"s" * 32).rstrip(b"=").decode()
        async with opened(evolve(RULES, algorithms=("RS256", "HS256"))) as tokens:
            tokens.issuer.keys.append({"kty": "oct", "k": secret, "kid": "shared", "alg": "HS256"})
            assert await tokens.refusal(token(b"s" * 32, "shared", "HS256"))

    async def test_of_a_private_key_that_the_issuer_published(self, tokens: Tokens) -> None:
        private = RSAAlgorithm.to_jwk(RSA_KEY, as_dict=True)
        tokens.issuer.keys[0] = {**private, "kid": "rsa"}
        assert "does not publish" in await tokens.refusal(token())

    async def test_of_one_key_with_another(self, tokens: Tokens) -> None:
        for bad in (
            token(RSA_KEY, "ec"),
            token(EC_KEY, "rsa", "ES256"),
            token(RSA_KEY, "ed"),
            token(OTHER_RSA_KEY),
        ):
            assert await tokens.refusal(bad)

    async def test_of_one_algorithm_with_another(self, tokens: Tokens) -> None:
        assert "accepted algorithm" in await tokens.refusal(token(algorithm="RS512"))
        tokens.issuer.keys = [published(RSA_KEY, "rsa", alg="RS512")]
        assert "not that of its issuer's key" in await tokens.refusal(token())

    async def test_of_one_curve_with_another(self, tokens: Tokens) -> None:
        larger = ec.generate_private_key(ec.SECP384R1())
        tokens.issuer.keys = [published(larger, "ec")]
        assert await tokens.refusal(token(EC_KEY, "ec", "ES256"))

    async def test_of_a_key_that_encrypts_with_one_that_signs(self, tokens: Tokens) -> None:
        tokens.issuer.keys = [published(RSA_KEY, "rsa", use="enc"), published(EC_KEY, "ec")]
        assert "does not publish" in await tokens.refusal(token())

    async def test_of_a_key_in_the_token_with_one_of_the_issuer(self, tokens: Tokens) -> None:
        for headers in (
            {"jwk": published(OTHER_RSA_KEY, "rsa")},
            {"jku": "http://127.0.0.1:1/jwks.json"},
            {"x5u": "http://127.0.0.1:1/x.pem"},
        ):
            assert await tokens.refusal(token(OTHER_RSA_KEY, headers=headers))
        assert tokens.issuer.asked == 1

    async def test_of_a_short_key_with_one_that_holds(self, tokens: Tokens) -> None:
        short = rsa.generate_private_key(65537, 1024)  # noqa: S505 - it is to be refused
        tokens.issuer.keys = [published(short, "rsa"), published(EC_KEY, "ec")]
        with pytest.warns():
            weak = token(short)
        assert await tokens.refusal(weak)

    async def test_of_what_is_critical_with_what_may_be_ignored(self, tokens: Tokens) -> None:
        for headers in ({"crit": ["x"], "x": 1}, {"b64": False, "crit": ["b64"]}):
            assert await tokens.refusal(token(headers=headers))


class TestStrangeTokens:
    async def test_are_large(self, tokens: Tokens) -> None:
        huge = token(environments=[ENVIRONMENT] * 1000)
        assert not tokens.credentials.accepts(huge)

    @pytest.mark.parametrize("where", [0, 1])
    async def test_are_deep(self, tokens: Tokens, where: int) -> None:
        deep = base64.urlsafe_b64encode(b"[" * 2500).rstrip(b"=").decode()
        parts = token().split(".")
        parts[where] = deep
        bad = ".".join(parts)
        assert tokens.credentials.accepts(bad)
        assert await tokens.refusal(bad)

    @pytest.mark.parametrize("text", ["", "..", "a.b", "a.b.c", "a.b.c.d", "é.b.c", "eyJ.e30.A A"])
    async def test_are_no_tokens_at_all(self, tokens: Tokens, text: str) -> None:
        if tokens.credentials.accepts(text):
            assert await tokens.refusal(text)
        assert tokens.issuer.asked == 0

    @pytest.mark.parametrize("kid", [7, ["rsa"], {}, "x" * 5000])
    async def test_name_keys_that_are_none(self, tokens: Tokens, kid: object) -> None:
        text = unsigned({"alg": "RS256", "kid": kid}, {})
        assert await tokens.refusal(f"{text}.AAAA")


class TestTheKeys:
    async def test_are_read_once_for_all_who_wait(self, tokens: Tokens) -> None:
        tokens.issuer.held = asyncio.Event()
        waiting = [
            asyncio.create_task(tokens.credentials.caller(token(sub=f"{n}"))) for n in range(10)
        ]
        await tokens.issuer.called.wait()
        tokens.issuer.held.set()
        await asyncio.gather(*waiting)
        assert tokens.issuer.asked == 1

    async def test_that_nobody_knows_are_looked_for_once_in_a_while_however_many_there_are(
        self, tokens: Tokens
    ) -> None:
        for number in range(200):
            assert "does not publish" in await tokens.refusal(token(kid=f"made-up-{number}"))
        assert tokens.issuer.asked == 1
        await tokens.clock.advance(PAUSE.total_seconds())
        await tokens.refusal(token(kid="made-up-again"))
        assert tokens.issuer.asked == 2

    async def test_that_are_new_are_known_after_a_while(self, tokens: Tokens) -> None:
        await tokens.credentials.caller(token())
        tokens.issuer.keys.append(published(OTHER_RSA_KEY, "new"))
        assert "does not publish" in await tokens.refusal(token(OTHER_RSA_KEY, "new"))
        await tokens.clock.advance(PAUSE.total_seconds())
        assert await tokens.credentials.caller(token(OTHER_RSA_KEY, "new")) == ANNA

    async def test_that_are_withdrawn_are_forgotten(self, tokens: Tokens) -> None:
        await tokens.credentials.caller(token())
        tokens.issuer.keys = [published(EC_KEY, "ec"), published(ED_KEY, "ed")]
        await tokens.clock.advance(FRESH_FOR.total_seconds())
        assert "does not publish" in await tokens.refusal(token())

    async def test_of_an_unavailable_issuer_are_trusted_for_an_hour(self, tokens: Tokens) -> None:
        far = datetime.now(UTC) + timedelta(days=1)
        await tokens.credentials.caller(token(exp=far))
        await tokens.clock.advance(FRESH_FOR.total_seconds())
        tokens.issuer.response = web.Response(status=500)
        assert (await tokens.credentials.caller(token(exp=far, sub="ben"))).name == "jwt:ben"
        await tokens.clock.advance(KEPT_FOR.total_seconds())
        tokens.issuer.response = web.Response(status=500)
        with pytest.raises(IssuerUnavailable):
            await tokens.credentials.caller(token(exp=far, sub="cleo"))

    async def test_of_an_issuer_that_comes_back_are_read_soon(self, tokens: Tokens) -> None:
        tokens.issuer.response = web.Response(status=503)
        for _ in range(10):
            with pytest.raises(IssuerUnavailable):
                await tokens.credentials.caller(token())
        assert tokens.issuer.asked == 1
        await tokens.clock.advance(PAUSE_AFTER_FAILURE.total_seconds())
        assert await tokens.credentials.caller(token()) == ANNA

    @pytest.mark.parametrize(
        "response",
        [
            web.Response(status=302, headers={"Location": "/elsewhere"}),
            web.Response(text="<html>"),
            web.Response(body=b"\xff\xfe"),
            web.json_response([]),
            web.json_response({"keys": {}}),
            web.json_response({"keys": ["x"]}),
            web.Response(body=b'{"keys":[{"a":' + b"[" * 100_000),
            web.Response(body=b'{"keys":[' + b" " * MAX_BYTES + b"]}"),
            web.Response(body=b"x" * 100, headers={"Content-Encoding": "gzip"}),
        ],
        ids=["redirect", "page", "bytes", "list", "object", "texts", "deep", "large", "packed"],
    )
    async def test_that_are_none_are_not_believed(self, response: web.Response) -> None:
        async with opened() as tokens:
            tokens.issuer.response = response
            with pytest.raises(IssuerUnavailable):
                await tokens.credentials.caller(token())

    @pytest.mark.parametrize(
        "broken", [{}, {"kty": "RSA"}, {"kty": "RSA", "n": 1, "e": "AQAB"}, {"kty": 7}]
    )
    async def test_that_are_broken_do_not_spoil_the_others(
        self, tokens: Tokens, broken: dict[str, Any]
    ) -> None:
        tokens.issuer.keys[0] = {**broken, "kid": "rsa"}
        assert await tokens.refusal(token())
        assert await tokens.credentials.caller(token(EC_KEY, "ec", "ES256")) == ANNA

    async def test_without_an_id_are_meant_if_there_is_only_one(self, tokens: Tokens) -> None:
        assert "does not publish" in await tokens.refusal(token(kid=None))
        await tokens.clock.advance(PAUSE.total_seconds())
        tokens.issuer.keys = [published(RSA_KEY, "rsa")]
        assert await tokens.credentials.caller(token(kid=None)) == ANNA

    async def test_of_an_issuer_that_does_not_answer_are_waited_for_only_so_long(
        self, tokens: Tokens
    ) -> None:
        tokens.issuer.held = asyncio.Event()
        try:
            with pytest.raises(IssuerUnavailable):
                await asyncio.wait_for(tokens.credentials.caller(token()), 10)
        finally:
            tokens.issuer.held.set()
