"""Commands on the storage at ``DB_URI``, without a server: schema, secrets, dead letters.

They may run while servers do.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from notification_adapters.clock import SystemClock
from notification_adapters.event_formats.filter_compiler import JsonSchemaFilterCompiler
from notification_adapters.null_objects import NoTracer
from notification_adapters.sql.migrations import schema
from notification_core.concurrency.ids import IdGenerator
from notification_core.encryption.reencryption import Reencryption
from notification_core.errors import InvalidInput
from notification_core.ingest.dead_letters import DeadLetterReplay
from notification_core.ingest.event_filters import EventFilters
from notification_core.ingest.ingest import Ingest
from notification_core.ingest.plan import IngestPlanner
from notification_core.model.event import Source
from notification_core.version import VERSION
from notification_entrypoints.bootstrap import storage
from notification_entrypoints.bootstrap.application import data_validation
from notification_entrypoints.bootstrap.dead_letters import dead_letter_replay
from notification_entrypoints.config.databases import existing_up_defaults, file_of
from notification_entrypoints.config.settings import Settings, load_settings
from notification_entrypoints.observability.metrics import Metrics

if TYPE_CHECKING:
    from notification_adapters.sql.database_copy import DatabaseCopy

_NO_DEFAULTS: Final[Mapping[str, str]] = MappingProxyType({})


def migrate(settings: Settings) -> str:
    """Bring the schema up to this version, and return what was done; others that do so wait."""
    former = asyncio.run(storage.migrate(settings))
    place = storage.place_of(settings)
    if former is None:
        return f"Created the schema, version {schema.VERSION}, at {place}."
    if former < schema.VERSION:
        return f"Migrated the schema at {place} from version {former} to {schema.VERSION}."
    newer = "" if former == schema.VERSION else f", newer than this program's {schema.VERSION}"
    return f"Nothing to do: the schema at {place} is version {former}{newer}."


def check_schema(settings: Settings) -> None:
    """Raise :class:`IncompatibleSchema` unless this version can work on the schema."""
    asyncio.run(storage.check_schema(settings))


def migration_sql(settings: Settings) -> str:
    """Return the statements that would bring the schema up to this version."""
    return asyncio.run(storage.migration_sql(settings))


@asynccontextmanager
async def open_reencryption(
    environ: Mapping[str, str], defaults: Mapping[str, str]
) -> AsyncIterator[Reencryption]:
    """Open what re-encrypts stored secrets; raises where no given secret opens the storage."""
    settings = load_settings(environ, defaults)
    clock = SystemClock()
    async with storage.open_storage(settings, clock, IdGenerator(clock)) as stores:
        yield Reencryption(stores.encrypted_columns, clock)


@asynccontextmanager
async def open_copy(
    source: str, target: str, environ: Mapping[str, str]
) -> "AsyncIterator[DatabaseCopy]":
    """Open a SQLite database and the PostgreSQL one that it is to be copied to, both by their URIs.

    The secret is the source's: DB_ENCRYPTION_SECRET, or what `up` keeps beside its file.
    Raises :class:`InvalidInput` for a URI that is not of its kind.
    """
    file = file_of(source)
    if file is None:
        raise InvalidInput("--from must be sqlite:///FILE.")
    if file_of(target):
        raise InvalidInput("--to must be a PostgreSQL database: postgresql://HOST/DATABASE.")
    defaults = existing_up_defaults(file.parent, {**environ, "DB_URI": source})
    settings = load_settings({**environ, "DB_URI": target}, defaults)
    async with storage.open_copy(file, settings) as copy:
        yield copy


@asynccontextmanager
async def open_dead_letters(
    environ: Mapping[str, str], defaults: Mapping[str, str] = _NO_DEFAULTS
) -> AsyncIterator[DeadLetterReplay]:
    """Open the dead letters; what is ingested from here is sent by the process that dispatches."""
    settings = load_settings(environ, defaults)
    clock = SystemClock()
    ids = IdGenerator(clock)
    async with storage.open_storage(settings, clock, ids) as stores:
        metrics = Metrics(VERSION, "")  # counts that are gone when the command ends
        filters = EventFilters(JsonSchemaFilterCompiler(), clock)
        ingest = Ingest(
            stores.deliveries,
            IngestPlanner(clock, ids, filters),
            metrics,
            None,
            stores.notifier,
            source=Source.KAFKA,
            tracer=NoTracer(),
        )
        validation = data_validation(settings, stores.history, metrics)
        yield dead_letter_replay(settings, stores, ingest, validation, clock)
