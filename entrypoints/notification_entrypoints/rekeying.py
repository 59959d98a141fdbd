"""Encrypting anew at hand: the storage at ``DB_URI`` opened for it, while servers run or not."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from notification_adapters.clock import SystemClock
from notification_core.ids import IdGenerator
from notification_core.rekeying import Rekeying
from notification_entrypoints.settings import load_settings
from notification_entrypoints.storages import open_storage


@asynccontextmanager
async def open_rekeying(
    environ: Mapping[str, str], defaults: Mapping[str, str]
) -> AsyncIterator[Rekeying]:
    """Open what encrypts anew; raises where no given secret opens the storage."""
    settings = load_settings(environ, defaults)
    clock = SystemClock()
    async with open_storage(settings, clock, IdGenerator(clock)) as storage:
        yield Rekeying(storage.sealed, clock)
