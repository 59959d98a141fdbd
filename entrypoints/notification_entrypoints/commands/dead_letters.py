"""Dead letters at hand: the storage at ``DB_URI`` opened for a look, without a server."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from notification_adapters.clock import SystemClock
from notification_adapters.kafka.message_reader import MessageReader
from notification_core.concurrency.ids import IdGenerator
from notification_core.ingest.dead_letters import DeadLetterReplay
from notification_core.ingest.ingest import Ingest
from notification_core.model.event import Source
from notification_core.version import VERSION
from notification_entrypoints.bootstrap.storage import open_storage
from notification_entrypoints.config.settings import load_settings
from notification_entrypoints.observability.metrics import Metrics

_NO_DEFAULTS: Mapping[str, str] = {}


@asynccontextmanager
async def open_letters(
    environ: Mapping[str, str], defaults: Mapping[str, str] = _NO_DEFAULTS
) -> AsyncIterator[DeadLetterReplay]:
    """Open the dead letters; what is taken in from here is sent by whoever dispatches."""
    settings = load_settings(environ, defaults)
    clock = SystemClock()
    ids = IdGenerator(clock)
    async with open_storage(settings, clock, ids) as storage:
        nobody = Metrics(VERSION, "")  # counts that are gone when the command ends
        ingest = Ingest(
            storage.deliveries, clock, ids, nobody, None, storage.waking, source=Source.KAFKA
        )
        yield DeadLetterReplay(storage.dead_letters, ingest, MessageReader(clock, settings.tz))
