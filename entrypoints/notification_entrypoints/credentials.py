"""Which credentials the API accepts, as the settings say."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from notification_core.api_keys import digest_of
from notification_core.authentication import BootstrapKey, StoredKeys
from notification_core.errors import Detail, InvalidSettings
from notification_core.ports.clock import Clock
from notification_core.ports.credentials import Credentials
from notification_entrypoints.settings import Authentication, Settings


@asynccontextmanager
async def accepted_credentials(
    settings: Settings, keys: StoredKeys, clock: Clock
) -> AsyncIterator[Sequence[Credentials] | None]:
    """Give the kinds of credentials that are accepted, None where nobody is asked."""
    async with AsyncExitStack() as stack:
        accepted: list[Credentials] = []
        if Authentication.API_KEY in settings.api_auth:
            accepted += [*_bootstrap(settings), keys]
        if Authentication.JWT in settings.api_auth:
            accepted.append(await stack.enter_async_context(_tokens(settings, clock)))
        yield None if Authentication.NONE in settings.api_auth else accepted


def _bootstrap(settings: Settings) -> Sequence[Credentials]:
    key = settings.api_bootstrap_key
    return [BootstrapKey(digest_of(key))] if key else []


@asynccontextmanager
async def _tokens(settings: Settings, clock: Clock) -> AsyncIterator[Credentials]:
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
        issuer=settings.api_jwt_issuer,
        audience=settings.api_jwt_audience,
        algorithms=tuple(settings.api_jwt_algorithms),
        scope_claim=settings.api_jwt_scope_claim,
        environments_claim=settings.api_jwt_environments_claim,
    )
    keys = KeySet(settings.api_jwt_jwks_url, clock)
    try:
        yield JwtCredentials(rules, keys, clock)
    finally:
        await keys.close()
