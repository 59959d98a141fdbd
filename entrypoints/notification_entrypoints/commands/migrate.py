"""``notification-management migrate``: the schema of the database at ``DB_URI``."""

import asyncio
from collections.abc import Mapping

from notification_entrypoints.bootstrap import storage
from notification_entrypoints.config.settings import load_settings


def migrate(environ: Mapping[str, str]) -> None:
    """Bring the schema up to this version; others that do so meanwhile are waited for."""
    asyncio.run(storage.migrate(load_settings(environ)))


def check(environ: Mapping[str, str]) -> None:
    """Raise :class:`IncompatibleSchema` unless this version can work on the schema."""
    asyncio.run(storage.check_schema(load_settings(environ)))


def sql(environ: Mapping[str, str]) -> str:
    """Return the statements that would bring the schema up to this version."""
    return asyncio.run(storage.migration_sql(load_settings(environ)))
