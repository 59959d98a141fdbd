"""The encryption secrets themselves, where the settings have them wrapped."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from attrs import evolve

from notification_adapters.http.destination_guard import system_trust
from notification_adapters.null_objects import NoWrapping
from notification_core.errors import NotificationError, UnwrappingRefused
from notification_core.ports.key_wrapping import KeyWrapping
from notification_entrypoints.config.parsers import is_plain_secret, is_wrapped
from notification_entrypoints.config.policies import trust_of
from notification_entrypoints.config.settings import Settings

_SECRET = "DB_ENCRYPTION_SECRET"  # noqa: S105 - a variable's name
_PREVIOUS = "DB_ENCRYPTION_PREVIOUS_SECRETS"


async def unwrap_secrets(settings: Settings) -> Settings:
    """Return the settings with each encryption secret in clear; done again it asks no key service.

    Raises :class:`UnwrappingRefused` and :class:`KeyServiceUnavailable`, which name the variable.
    """
    async with _wrapping(settings) as vault:
        secret = await _secret(_SECRET, settings.db.encryption_secret, vault)
        previous = [
            await _secret(_PREVIOUS, configured, vault)
            for configured in settings.db.encryption_previous_secrets
        ]
        db = evolve(
            settings.db, encryption_secret=secret, encryption_previous_secrets=tuple(previous)
        )
        return evolve(settings, db=db)


async def _secret(variable: str, configured: str, vault: KeyWrapping) -> str:
    wrapping = vault if is_wrapped(configured) else NoWrapping()
    try:
        secret = await wrapping.unwrap(configured)
    except NotificationError as error:
        raise type(error)(f"{variable} cannot be unwrapped. {error}") from error
    if not is_plain_secret(secret):
        raise UnwrappingRefused(
            f"{variable} was unwrapped, but to something else than exactly 32 characters."
        )
    return secret


@asynccontextmanager
async def _wrapping(settings: Settings) -> AsyncIterator[KeyWrapping]:
    """Give the key service, or none if no secret is wrapped."""
    if not any(map(is_wrapped, settings.db.encryption_secrets)):
        yield NoWrapping()
        return
    from notification_adapters.vault import VaultTransit  # noqa: PLC0415 - only where needed

    vault = VaultTransit(
        settings.db.encryption_vault_uri,
        settings.db.encryption_vault_key,
        settings.db.encryption_vault_token,
        trust_of("DB_ENCRYPTION_VAULT_CA_FILE", settings.db.encryption_vault_ca_file)
        or system_trust(),
    )
    try:
        yield vault
    finally:
        await vault.close()
