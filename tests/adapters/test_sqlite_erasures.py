"""What an erasure costs on SQLite: it must not grow with what others have."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from notification_adapters.clock import SystemClock
from notification_adapters.sql.sqlite import open_sqlite
from notification_core.concurrency.ids import IdGenerator
from notification_core.model.delivery import NewDelivery
from notification_core.model.event import Event, EventToStore, body_of
from tests.adapters.sqlite_files import CIPHER, ENVIRONMENT_ID, plans
from tests.support.sqlite_template import make_sqlite


async def test_no_statement_of_an_erasure_walks_a_table(tmp_path: Path) -> None:
    path, clock = tmp_path / "erasures.sqlite", SystemClock()
    await make_sqlite(path)
    async with open_sqlite(path, CIPHER, clock, IdGenerator(clock)) as storage:
        now = datetime.now(UTC)
        event = Event("event", ENVIRONMENT_ID, "job-created", now, b"{}")
        delivery = NewDelivery(UUID(int=1), ENVIRONMENT_ID, UUID(int=2), event.event_id)
        async with storage.deliveries.ingesting() as transaction:
            await transaction.add_events([EventToStore(event, body_of(event))])
            await transaction.add_deliveries([delivery], None, timedelta())
        async with plans(storage) as lines:
            await storage.erasures.begin(ENVIRONMENT_ID, now)
            while not (await storage.erasures.advance(ENVIRONMENT_ID, 500)).is_last:
                pass
    assert len(lines) > 15
    # The webhooks' revision is one row.
    scans = {line for line in lines if line.startswith("SCAN")}
    assert scans <= {"SCAN webhooks_revision"}
