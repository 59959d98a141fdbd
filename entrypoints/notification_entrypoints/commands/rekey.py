"""Encrypting anew at hand: the storage at ``DB_URI`` opened for it, while servers run or not."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from notification_adapters.clock import SystemClock
from notification_core.concurrency.ids import IdGenerator
from notification_core.encryption.reencryption import Reencryption
from notification_entrypoints.bootstrap.storage import open_storage
from notification_entrypoints.config.settings import load_settings


@asynccontextmanager
async def open_rekeying(
    environ: Mapping[str, str], defaults: Mapping[str, str]
) -> AsyncIterator[Reencryption]:
    """Open what encrypts anew; raises where no given secret opens the storage."""
    settings = load_settings(environ, defaults)
    clock = SystemClock()
    async with open_storage(settings, clock, IdGenerator(clock)) as storage:
        yield Reencryption(storage.sealed, clock)
