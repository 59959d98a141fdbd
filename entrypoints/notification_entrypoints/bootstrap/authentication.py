"""Which credentials the API accepts, as the settings say."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from urllib.parse import urlsplit

import structlog

from notification_core.access.authentication import BootstrapKey, StoredKeys
from notification_core.errors import Detail, InvalidSettings
from notification_core.model.api_key import hash_api_key
from notification_core.ports.clock import Clock
from notification_core.ports.credentials import CredentialScheme
from notification_entrypoints.config.parsers import Authentication, is_loopback
from notification_entrypoints.config.settings import Settings

_log = structlog.stdlib.get_logger("notification")


@asynccontextmanager
async def open_credentials(
    settings: Settings, keys: StoredKeys, clock: Clock
) -> AsyncIterator[Sequence[CredentialScheme] | None]:
    """Give the credential schemes that are accepted; None if authentication is disabled."""
    async with AsyncExitStack() as stack:
        accepted: list[CredentialScheme] = []
        if Authentication.API_KEY in settings.api.auth:
            if key := settings.api.bootstrap_key:
                accepted.append(BootstrapKey(hash_api_key(key)))
            accepted.append(keys)
        if Authentication.JWT in settings.api.auth:
            accepted.append(await stack.enter_async_context(_tokens(settings, clock)))
        yield None if Authentication.NONE in settings.api.auth else accepted


@asynccontextmanager
async def _tokens(settings: Settings, clock: Clock) -> AsyncIterator[CredentialScheme]:
    try:
        from notification_adapters.jwt.credentials import (  # noqa: PLC0415 - an extra
            JwtCredentials,
            TokenRules,
        )
        from notification_adapters.jwt.key_set import KeySet  # noqa: PLC0415 - the same
    except ImportError as error:
        problem = "API_AUTH has jwt, which needs: pip install 'notification-management[jwt]'"
        raise InvalidSettings(f"{problem}.", [Detail("API_AUTH", problem)]) from error
    rules = TokenRules(
        issuer=settings.api.jwt_issuer,
        audience=settings.api.jwt_audience,
        algorithms=tuple(settings.api.jwt_algorithms),
        scope_claim=settings.api.jwt_scope_claim,
        environments_claim=settings.api.jwt_environments_claim,
    )
    url = urlsplit(settings.api.jwt_jwks_url)
    if url.scheme == "http" and not is_loopback(url.hostname or ""):
        # An attacker between this process and the issuer could replace its keys.
        _log.warning("jwks_over_plain_http", variable="API_JWT_JWKS_URL")
    keys = KeySet(settings.api.jwt_jwks_url, clock)
    try:
        yield JwtCredentials(rules, keys, clock)
    finally:
        await keys.close()
