"""Named points of the product at which a process can be killed or stopped, exactly and for certain.

The process does it to itself: nothing of it runs on in the meantime.
"""

import os
import signal
from collections.abc import Callable
from typing import Final

from tests.faults.tampering.patching import calling_after, calling_before, replaced, step_by_step

_SIGNALS: Final = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}
_STORES: Final = "notification_adapters.sql.stores.deliveries:SqlDeliveryStore"

BEFORE: Final = {
    # Messages have come from Kafka, and nothing of them is in storage.
    "polled": ["notification_core.ingest.ingest:Ingest.take_in"],
    # They are in storage, and their offsets are not committed.
    "stored": ["notification_adapters.kafka.event_source:KafkaSource.acknowledge"],
    # A batch of deliveries is about to be inserted; their events are, in the same transaction.
    "fanning out": [
        "notification_adapters.sql.sqlite.dialect:SqliteDialect.add_deliveries",
        "notification_adapters.sql.postgres.dialect:PostgresDialect.add_deliveries",
    ],
    # What was prefetched is to begin, and nothing of that is in storage.
    "beginning": [f"{_STORES}.begin"],
    # A publish is committed, and nobody has been handed anything.
    "committed": ["notification_core.ingest.ingest:Ingest._hand_over"],
    # An attempt has begun in storage, and no connection is made yet.
    "connecting": ["notification_adapters.http.native.sender:NativeSender.send"],
    # The receiver has answered, and nothing of that is written.
    "answered": ["notification_core.dispatch.result_writer:ResultWriter.record"],
    # A delivery is at its end, and in the same transaction its attempt is not logged.
    "ending": [
        "notification_adapters.sql.sqlite.dialect:SqliteDialect.log_attempts",
        "notification_adapters.sql.postgres.dialect:PostgresDialect.log_attempts",
    ],
    # Of the statements that make the schema another one is to be run, in one transaction. A few
    # that only look come first.
    "migrating": ["sqlalchemy:Connection.exec_driver_sql"],
    # Of the statements that bring a schema from one version to the next, another one is to be run.
    "upgrading": ["alembic.ddl.impl:DefaultImpl._exec"],
    # Messages of the outbox are sent, and still in it.
    "relayed": ["notification_adapters.sql.stores.outbox:SqlOutbox.remove"],
}
AFTER: Final = {
    # A claim is committed, and what it took is in nobody's hands. An empty one does not count.
    "claimed": [f"{_STORES}.acquire"],
    # Prefetched deliveries have begun in storage, and none of them is sent.
    "begun": BEFORE["beginning"],
    # Deliveries are inserted, and their transaction is open.
    "fanned out": BEFORE["fanning out"],
    # Results are committed, and the process does not know it yet.
    "finished": [
        "notification_adapters.sql.sqlite.deliveries:SqliteDeliveryStore.finish",
        "notification_adapters.sql.postgres.deliveries:PostgresDeliveryStore.finish",
    ],
}


def arm(how: str) -> None:
    """Take ``point=kill``, ``point=stop`` or ``point=kill:3``, for the third time it is reached."""
    point, _, rest = how.partition("=")
    action, _, times = rest.partition(":")
    act = _nth(int(times or 1), lambda: os.kill(os.getpid(), _SIGNALS[action]))
    for where in BEFORE.get(point, ()):
        replaced(where, calling_before(act))
    for where in AFTER.get(point, ()):
        replaced(where, calling_after(act))
    if any(".dialect:" in where for where in [*BEFORE.get(point, ()), *AFTER.get(point, ())]):
        step_by_step()
    if point not in BEFORE | AFTER:
        raise LookupError(f"There is no point {point!r}.")


def _nth(times: int, act: Callable[[], None]) -> Callable[[], None]:
    """Make a function that acts when it is called for so many times, and never again."""
    left = times

    def count() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            act()

    return count
