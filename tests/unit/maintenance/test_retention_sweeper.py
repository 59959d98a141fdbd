"""Retention tells for how long something may have been kept that is too old."""

from datetime import timedelta

from notification_adapters.memory import ManualClock, memory_storage
from notification_core.concurrency.ids import IdGenerator
from notification_core.maintenance.retention_sweeper import RetentionRules, RetentionSweeper


async def test_the_lag_is_the_time_since_the_last_complete_round_began() -> None:
    clock = ManualClock()
    storage = memory_storage(clock, IdGenerator(clock))
    day = timedelta(days=1)
    sweeper = RetentionSweeper(storage.retention, clock, RetentionRules(day, day, day, day))
    await clock.advance(7)
    assert sweeper.lag == timedelta(seconds=7), "no round is complete yet"
    while await sweeper.sweep_batch():
        await clock.advance(10)
    began_ago = sweeper.lag
    assert began_ago > timedelta(seconds=7), "what became too old during the round is still there"
    await clock.advance(5)
    while await sweeper.sweep_batch():
        """The second round takes no time."""
    assert sweeper.lag == timedelta(seconds=5), "it began as the first one ended"
