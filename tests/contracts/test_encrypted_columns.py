"""What storage promises of its secrets when the one that they are encrypted under is another."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from itertools import count
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from notification_adapters.memory import ManualClock
from notification_adapters.sql import SqlStorage
from notification_adapters.sql.installation_tables import instance
from notification_adapters.sql.tables import ENCRYPTED, webhooks
from notification_core.encryption.cipher import Cipher
from notification_core.encryption.reencryption import Reencryption, Rekeyed
from notification_core.errors import (
    RekeyOvertaken,
    UndecipherableText,
    WrongEncryptionSecret,
)
from notification_core.model.request_records import StoredResponse
from notification_core.model.signing_key import new_signing_key
from notification_core.model.signing_secret import SigningSecret
from notification_core.model.webhook import Webhook
from notification_core.ports.encrypted_columns import EncryptedColumns, ReencryptedBatch
from notification_core.ports.storage import Storage
from tests.contracts.harness import Harness
from tests.support.postgres_server import CIPHER

FORMER, SECRET = "0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"
NEW = Cipher(SECRET)
BOTH = Cipher(SECRET, [FORMER])
HEADERS = {"authorization": "Bearer é"}


async def fill(harness: Harness) -> Webhook:
    """Store secrets of every kind, a tombstone's too; return a webhook that stands."""
    key = new_signing_key(harness.environment_id, harness.clock.now(), os.urandom(32), 1)
    await harness.storage.signing_keys.add_first(key)
    standing, buried, _ = [
        await harness.webhook(custom_headers=headers) for headers in (HEADERS, HEADERS, {})
    ]
    now = harness.clock.now()
    secret = SigningSecret(UUID(int=1), b"signing secret" * 3, now)
    await harness.storage.webhooks.change_signing_secrets(
        harness.environment_id, standing.webhook_id, lambda _: [secret]
    )
    stored = StoredResponse(harness.environment_id, "first", "asked", b"\x00answer", now)
    await harness.storage.webhooks.delete(
        harness.environment_id, buried.webhook_id, now, records=[stored]
    )
    return standing


async def secrets_of(harness: Harness, storage: Storage) -> list[object]:
    """Read all that is secret through the stores."""
    yesterday = harness.clock.now() - timedelta(days=1)
    return [
        await storage.signing_keys.keys_of([harness.environment_id]),
        await storage.webhooks.list(harness.environment_id),
        await storage.idempotency.find(harness.environment_id, "first", yesterday),
    ]


class Hurried(ManualClock):
    """Rests for no time at all."""

    async def sleep(self, seconds: float) -> None:
        """Return."""


async def rekey(harness: Harness) -> Rekeyed:
    async with harness.under(BOTH) as storage:
        return await Reencryption(storage.encrypted_columns, Hurried()).run(lambda _: None)


async def texts_of(storage: SqlStorage) -> list[str]:
    """Return every encrypted text of a database."""
    async with storage.database.read_transaction() as connection:
        return [
            text
            for column in (*ENCRYPTED, instance.c.canary)
            for (text,) in await connection.execute(sa.select(column))
            if text is not None
        ]


async def test_with_the_replaced_secret_among_the_previous_ones_all_reads_as_before(
    harness: Harness,
) -> None:
    await fill(harness)
    before = await secrets_of(harness, harness.storage)
    async with harness.under(BOTH) as storage:
        assert await secrets_of(harness, storage) == before


async def test_after_a_rekey_the_present_secret_alone_reads_all_as_before(harness: Harness) -> None:
    await fill(harness)
    before = await secrets_of(harness, harness.storage)
    done = await rekey(harness)
    assert not done.unreadable
    async with harness.under(NEW) as storage:
        assert await secrets_of(harness, storage) == before
        if isinstance(storage, SqlStorage):
            assert done.count == 5
            assert all(NEW.is_current(text) for text in await texts_of(storage))


async def test_only_then_is_the_previous_one_refused(harness: Harness) -> None:
    await fill(harness)
    await rekey(harness)
    if isinstance(harness.storage, SqlStorage):
        with pytest.raises(WrongEncryptionSecret, match="DB_ENCRYPTION_PREVIOUS_SECRETS"):
            async with harness.under(CIPHER):
                pass


async def test_without_the_previous_secret_a_storage_is_refused_until_all_is_done(
    harness: Harness,
) -> None:
    await fill(harness)
    async with harness.under(BOTH) as storage:
        async for _ in storage.encrypted_columns.reencrypt(1):
            pass
    if isinstance(harness.storage, SqlStorage):
        with pytest.raises(WrongEncryptionSecret):
            async with harness.under(NEW):
                pass


async def test_one_that_was_cut_off_goes_on_and_done_again_it_changes_nothing(
    harness: Harness,
) -> None:
    await fill(harness)
    async with harness.under(BOTH) as storage:
        before = await storage.encrypted_columns.outdated()
        async for batch in storage.encrypted_columns.reencrypt(1):
            if batch.count:
                break
        left = await storage.encrypted_columns.outdated()
    assert left == max(before - 1, 0)
    assert (await rekey(harness)).count == left
    assert (await rekey(harness)).count == 0
    async with harness.under(BOTH) as storage:
        assert await storage.encrypted_columns.outdated() == 0


async def test_a_change_that_is_made_meanwhile_stands(harness: Harness) -> None:
    webhook = await fill(harness)
    async with harness.under(BOTH) as storage:
        rekeying = Reencryption(_Meanwhile(storage.encrypted_columns, harness, webhook), Hurried())
        assert not (await rekeying.run(lambda _: None)).unreadable
    async with harness.under(NEW) as storage:
        changed = await storage.webhooks.get(harness.environment_id, webhook.webhook_id)
    assert changed.custom_headers == {"x-changed": "meanwhile"}
    assert changed.version == webhook.version + 1


class _Meanwhile(EncryptedColumns):
    """Lets another process, which still writes under the previous secret, change a webhook."""

    def __init__(self, store: EncryptedColumns, harness: Harness, webhook: Webhook) -> None:
        self._store, self._harness, self._webhook = store, harness, webhook
        self._changed = False

    async def outdated(self) -> int:
        return await self._store.outdated()

    async def reencrypt(self, limit: int) -> AsyncIterator[ReencryptedBatch]:
        async for batch in self._store.reencrypt(limit):
            yield batch
        if not self._changed:
            self._changed = True
            await self._harness.change(self._webhook, custom_headers={"x-changed": "meanwhile"})

    async def finish(self) -> None:
        await self._store.finish()


async def test_a_change_between_the_look_and_the_writing_stands_too(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    webhook = await fill(harness)
    async with harness.under(BOTH) as storage:
        if not isinstance(storage, SqlStorage):
            return
        writing, turns = storage.database.write_transaction, count(1)

        @asynccontextmanager
        async def changed_before() -> AsyncIterator[AsyncConnection]:
            if next(turns) == 2:  # the first is that of the keys
                await harness.change(webhook, custom_headers={"x-changed": "meanwhile"})
            async with writing() as connection:
                yield connection

        monkeypatch.setattr(storage.database, "write_transaction", changed_before)
        async for _ in storage.encrypted_columns.reencrypt(100):
            pass
        monkeypatch.undo()
        assert await storage.encrypted_columns.outdated() == 1
        changed = await storage.webhooks.get(harness.environment_id, webhook.webhook_id)
    assert changed.custom_headers == {"x-changed": "meanwhile"}


async def test_who_goes_on_writing_under_the_previous_secret_is_noticed(harness: Harness) -> None:
    await fill(harness)
    if not isinstance(harness.storage, SqlStorage):
        return
    async with harness.under(BOTH) as storage:
        rekeying = Reencryption(storage.encrypted_columns, _AlwaysSomebody(harness))
        with pytest.raises(RekeyOvertaken, match="DB_ENCRYPTION_SECRET"):
            await rekeying.run(lambda _: None)
    async with harness.under(CIPHER) as storage:
        await storage.ping()


class _AlwaysSomebody(ManualClock):
    """Lets a webhook be made under the previous secret at every rest."""

    def __init__(self, harness: Harness) -> None:
        super().__init__()
        self._harness = harness

    async def sleep(self, seconds: float) -> None:  # noqa: ARG002 - it wakes at once
        await self._harness.webhook(custom_headers=HEADERS)


async def test_what_no_secret_opens_stays_is_named_and_stops_nothing_else(harness: Harness) -> None:
    webhook = await fill(harness)
    if not isinstance(harness.storage, SqlStorage):
        return
    foreign = Cipher("x" * 32).encrypt(b"{}", ("webhooks", "custom_headers", "", ""))
    broken = sa.update(webhooks).where(webhooks.c.webhook_id == webhook.webhook_id)
    async with harness.storage.database.write_transaction() as connection:
        await connection.execute(broken.values(custom_headers=foreign))
    done = await rekey(harness)
    assert (done.count, done.unreadable) == (4, 1)
    assert done.places == [f"webhooks custom_headers {harness.environment_id} {webhook.webhook_id}"]
    async with harness.under(CIPHER) as storage:
        with pytest.raises(UndecipherableText):
            await storage.webhooks.get(harness.environment_id, webhook.webhook_id)
