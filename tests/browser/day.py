"""Statistics of a day for a server's SQLite file: charts of one minute show nothing."""

import math
import sqlite3
from collections import Counter
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from uuid import UUID

from notification_core.model.delivery import AttemptOutcome, DeliveryState
from notification_core.model.histogram import bucket_of
from notification_core.model.statistics import BucketSize, Counts
from notification_core.model.statistics_encoding import encode

_INSERT: Final = "INSERT INTO statistics VALUES (?, ?, ?, ?, 60, ?, ?, 0, ?, ?, ?, 0, ?)"


def add_day(folder: Path, environment_id: UUID, webhook_id: UUID, failing: float) -> None:
    """Store what a webhook did in each hour of the last day; a share of its attempts failed."""
    (database,) = folder.glob("*.sqlite")
    now = BucketSize.HOUR.start_of(datetime.now(UTC))
    with closing(sqlite3.connect(database, isolation_level=None, timeout=30)) as connection:
        for hour in range(1, 24):
            at = now - timedelta(hours=hour)
            succeeded = round(90 + 70 * math.sin(hour / 3.5) + 9 * (hour % 4))
            failed = round(succeeded * failing * (hour % 5 == 0 or failing > 0.3))
            slow = timedelta(milliseconds=40 + 25 * math.sin(hour / 2) + 120 * (hour == 7))
            times = Counter({bucket_of(slow / 2): succeeded, bucket_of(slow): succeeded // 8})
            counts = Counts(
                attempts=Counter({AttemptOutcome.SUCCEEDED: succeeded}),
                deliveries=Counter({DeliveryState.SUCCEEDED: succeeded}),
                durations=times,
                delivery_times=times,
            )
            start = int(at.timestamp()) * 1_000_000
            ids = webhook_id.hex, environment_id.hex, start, UUID(int=0).hex
            ended = succeeded, failed, succeeded, failed // 3, hour % 3
            connection.execute(_INSERT, (*ids, *ended, encode(counts)))
