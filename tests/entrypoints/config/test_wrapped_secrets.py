"""A storage whose secret Vault keeps: opened at the start, and on without Vault from then on."""

from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from notification_core.errors import (
    InvalidSettings,
    KeyServiceUnavailable,
    UnwrappingRefused,
    WrongEncryptionSecret,
)
from notification_entrypoints import embedded
from notification_entrypoints.config.settings import Settings
from tests.support.vault_server import TOKEN, VaultServer, vault_server

SECRET, FORMER = "0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"

ENVIRONMENT = uuid4()


def settings(folder: Path, vault: VaultServer, secret: str, **more: str) -> Settings:
    return embedded.settings(
        DB_URI=f"sqlite:///{folder}/n.sqlite",
        DB_ENCRYPTION_SECRET=secret,
        DB_ENCRYPTION_VAULT_URI=vault.uri,
        DB_ENCRYPTION_VAULT_TOKEN=TOKEN,
        **more,
    )


async def public_key(chosen: Settings, vault: VaultServer | None = None) -> str:
    """Open a storage and have a key made or read, with Vault gone once it is open."""
    async with embedded.open_notifications(chosen) as notifications:
        if vault:
            await vault.receiver.down()
        keys = await notifications.verification_keys.published(ENVIRONMENT)
        return keys[0].key.key_id


async def test_a_wrapped_secret_opens_what_the_same_secret_in_clear_has_written(
    tmp_path: Path,
) -> None:
    async with vault_server() as vault:
        plain = settings(tmp_path, vault, SECRET)
        await embedded.migrate(plain)
        key_id = await public_key(plain)
        assert not vault.receiver.requests
        assert await public_key(settings(tmp_path, vault, vault.wrap(SECRET)), vault) == key_id
        assert len(vault.receiver.requests) == 1


async def test_previous_secrets_may_be_wrapped_or_not(tmp_path: Path) -> None:
    async with vault_server() as vault:
        plain = settings(tmp_path, vault, FORMER)
        await embedded.migrate(plain)
        key_id = await public_key(plain)
        for previous in (vault.wrap(FORMER), f"{SECRET[::-1]},{vault.wrap(FORMER)}", FORMER):
            chosen = settings(
                tmp_path, vault, vault.wrap(SECRET), DB_ENCRYPTION_PREVIOUS_SECRETS=previous
            )
            assert await public_key(chosen) == key_id
        with pytest.raises(WrongEncryptionSecret):
            await public_key(settings(tmp_path, vault, vault.wrap(SECRET)))


async def test_what_goes_wrong_names_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with vault_server() as vault:
        short = settings(tmp_path, vault, vault.wrap("too short, but a secret all the same"))
        with pytest.raises(UnwrappingRefused, match=r"DB_ENCRYPTION_SECRET .* 32 characters"):
            await embedded.migrate(short)
        wrapped = vault.wrap(SECRET)
        await vault.receiver.down()
        monkeypatch.setattr("notification_adapters.vault.TOTAL", timedelta(seconds=3))
        with pytest.raises(KeyServiceUnavailable, match="DB_ENCRYPTION_SECRET cannot be unwrapped"):
            await embedded.migrate(settings(tmp_path, vault, wrapped))
    with pytest.raises(InvalidSettings, match="DB_ENCRYPTION_VAULT_URI must be set"):
        embedded.settings(DB_ENCRYPTION_SECRET=wrapped)
    with pytest.raises(InvalidSettings, match="must be https except on loopback"):
        embedded.settings(
            DB_ENCRYPTION_SECRET=SECRET, DB_ENCRYPTION_VAULT_URI="http://vault.example.com/v1/t"
        )
