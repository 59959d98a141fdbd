"""An SQLite file for tests that are not about migrating: a copy of one that was migrated once."""

import asyncio
from pathlib import Path

from notification_adapters.sql.sqlite import migrate_sqlite
from tests.support.postgres_server import CIPHER

_migrated: list[bytes] = []


async def make_sqlite(path: Path) -> None:
    """Make a file with this version's schema, under ``CIPHER``: migrating takes ten times as long.

    Nothing that a test makes needs to survive the host, so the copy is not synced.
    """
    if _migrated:
        await asyncio.to_thread(path.write_bytes, _migrated[0])
    else:
        await migrate_sqlite(path, CIPHER)
        _migrated.append(await asyncio.to_thread(path.read_bytes))
