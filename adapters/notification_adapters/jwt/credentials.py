"""Telling the caller by a JSON Web Token; what is accepted stands in the configuration alone.

After RFC 8725 (best current practices): the algorithms are a list of ours and asymmetric, a key is
good for its own algorithm only, issuer, audience and expiry are required, and a token that is
large, deep, of another type, or says that it is critical is refused before anything else is done
about it.
"""

import hashlib
import re
from collections import OrderedDict
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import jwt
from attrs import frozen

from notification_adapters.jwt.key_set import KeySet
from notification_core.errors import CredentialRefused
from notification_core.model.caller import Caller, Scope
from notification_core.model.console_session import CredentialGrant
from notification_core.model.text import validate_text
from notification_core.ports.clock import Clock
from notification_core.ports.credentials import CredentialScheme

MAX_LENGTH = 8000
"""The most characters that a token has; longer ones fit into no header either."""

CACHED_FOR = timedelta(seconds=60)
"""How long a token is not checked again."""

LEEWAY = timedelta(seconds=10)
"""How far two clocks may be apart."""

ALL = "all"
"""What stands in the claim of the environments for all of them."""

_MOST_CACHED = 10_000
_MAX_NAME_LENGTH = 256
_LATEST = 253_402_300_799  # the last second of the year 9999
_TOKEN = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
# RFC 7519, section 5.1, and RFC 9068, section 2.1.
_TYPES = {"jwt", "at+jwt"}
_REQUIRED = ["exp", "iss", "aud", "sub"]


@frozen
class TokenRules:
    """What a token must say, and where it says what its bearer may do."""

    issuer: str
    audience: str
    algorithms: tuple[str, ...]
    scope_claim: str = "scope"
    environments_claim: str = "environments"


@frozen
class _Checked:
    caller: Caller
    checked_at: float
    expires_at: float


class JwtCredentials(CredentialScheme):
    """JSON Web Tokens of one issuer."""

    def __init__(self, rules: TokenRules, keys: KeySet, clock: Clock) -> None:
        self._rules = rules
        self._keys = keys
        self._clock = clock
        self._checked: OrderedDict[bytes, _Checked] = OrderedDict()

    def accepts(self, credential: str) -> bool:
        """Tell whether a credential looks like a token."""
        return len(credential) <= MAX_LENGTH and _TOKEN.fullmatch(credential) is not None

    def subject(self, credential: str) -> str | None:
        """Return nobody: what a token says is worth nothing before it is checked."""

    async def caller(self, credential: str) -> Caller:
        """Return whose token this is."""
        return (await self._checked_token(credential)).caller

    async def grant(self, credential: str) -> CredentialGrant:
        """Return what a token gives until it expires; nobody can revoke one."""
        checked = await self._checked_token(credential)
        expires_at = datetime.fromtimestamp(min(checked.expires_at, _LATEST), UTC)
        return CredentialGrant(checked.caller, f"jwt:{self._rules.issuer}", expires_at)

    async def is_valid(self, reference: str) -> bool:
        """Tell whether tokens of this issuer are accepted."""
        return reference == f"jwt:{self._rules.issuer}"

    async def _checked_token(self, credential: str) -> _Checked:
        digest = hashlib.sha256(credential.encode()).digest()
        checked = self._checked.get(digest)
        if (
            checked is None
            or self._clock.now().timestamp() >= checked.expires_at
            or self._clock.monotonic() - checked.checked_at >= CACHED_FOR.total_seconds()
        ):
            checked = self._checked[digest] = await self._check(credential)
            self._checked.move_to_end(digest)
            if len(self._checked) > _MOST_CACHED:
                self._checked.popitem(last=False)
        return checked

    async def _check(self, token: str) -> _Checked:
        try:
            header = jwt.get_unverified_header(token)
            algorithm = header.get("alg")
            if algorithm not in self._rules.algorithms:
                raise CredentialRefused("The token is not signed by an accepted algorithm.")
            typ = header.get("typ", "JWT")
            if not isinstance(typ, str) or typ.lower().removeprefix("application/") not in _TYPES:
                raise CredentialRefused("The token's typ must be JWT or at+jwt, or be left out.")
            key = await self._keys.key(header.get("kid"), algorithm)
            claims = jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                issuer=self._rules.issuer,
                audience=self._rules.audience,
                options={
                    "require": _REQUIRED,
                    "enforce_minimum_key_length": True,
                    # By our clock, and for longer than this once: see _check_times().
                    "verify_exp": False,
                    "verify_nbf": False,
                    "verify_iat": False,
                },
            )
        except jwt.PyJWTError as error:
            # The library's own words may quote the token.
            raise CredentialRefused(
                "The token's signature, issuer or audience is invalid."
            ) from error
        expires_at = self._check_times(claims)
        return _Checked(self._caller(claims), self._clock.monotonic(), expires_at)

    def _check_times(self, claims: Mapping[str, Any]) -> float:
        """Return when a token ceases to be good; raise where that was, or it is not good yet."""
        now, leeway = self._clock.now().timestamp(), LEEWAY.total_seconds()
        expires_at, not_before = (_seconds(claims.get(name, 0)) for name in ("exp", "nbf"))
        if now >= expires_at + leeway:
            raise CredentialRefused("The token has expired. Get a new one.")
        if now < not_before - leeway:
            raise CredentialRefused("The token is not valid yet.")
        return expires_at + leeway

    def _caller(self, claims: Mapping[str, Any]) -> Caller:
        subject = claims["sub"]
        if not (isinstance(subject, str) and subject):
            raise CredentialRefused("The token has no subject (sub).")
        if any(validate_text("sub", subject, _MAX_NAME_LENGTH)):
            raise CredentialRefused(
                "The token's sub is too long, or is not a text that can be stored."
            )
        scope = _scope(claims.get(self._rules.scope_claim))
        environments = _environments(claims.get(self._rules.environments_claim))
        return Caller(f"jwt:{subject}", scope, environments)


def _seconds(claim: object) -> float:
    """Return a time of a token as seconds since the epoch."""
    # The comparison, unlike a conversion, takes integers of any length; NaN fails it as well.
    if isinstance(claim, int | float) and abs(claim) <= _LATEST:
        return claim
    raise CredentialRefused("The token's times must be numbers, and not after the year 9999.")


def _scope(claim: object) -> Scope | None:
    """Return the largest scope in a claim: words in a text (RFC 8693), or a list of them."""
    words = claim.split() if isinstance(claim, str) else claim
    named = [scope for scope in Scope if isinstance(words, list) and scope.value in words]
    return named[-1] if named else None


def _environments(claim: Any) -> frozenset[UUID] | None:
    """Return the environments in a claim: a list of ids, one, or ``all``; left out, none."""
    if claim == ALL:
        return None
    listed = [] if claim is None else claim if isinstance(claim, list) else [claim]
    try:
        return frozenset(map(UUID, listed))
    except (ValueError, AttributeError, TypeError):
        raise CredentialRefused("The token's environments are not UUIDs.") from None
