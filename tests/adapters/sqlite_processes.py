"""Processes for tests to kill: a writer and a worker, as ``python -m … write|work FOLDER``."""

import asyncio
import sys
from itertools import count
from pathlib import Path
from uuid import uuid4

from notification_core.model.delivery import NewDelivery
from tests.adapters.sql_storages import event, opened
from tests.contracts.harness import LEASE

PER_BATCH = 20


async def write(folder: Path) -> None:
    """Store batch after batch, and tell of each that was committed."""
    async with opened(folder) as storage:
        for batch in count():
            events = [event(f"{batch}-{number}") for number in range(PER_BATCH)]
            described = [one.event for one in events]
            deliveries = [
                NewDelivery(uuid4(), one.environment_id, one.environment_id, one.event_id)
                for one in described
            ]
            async with storage.deliveries.ingesting() as transaction:
                await transaction.add_events(events)
                await transaction.add_deliveries(deliveries, None, LEASE)
            _tell(str(batch))


async def work(folder: Path) -> None:
    """Take the worker's lock, tell so, and wait to be killed."""
    async with opened(folder) as storage:
        await storage.worker_lock.acquire(uuid4())
        _tell("locked")
        await asyncio.Event().wait()


def _tell(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run({"write": write, "work": work}[sys.argv[1]](Path(sys.argv[2])))
