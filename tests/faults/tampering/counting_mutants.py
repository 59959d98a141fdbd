"""Products whose statistics do not agree with what is stored."""

from collections.abc import Sequence
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any

from notification_core.model.delivery import AttemptOutcome, AttemptResult, Fence
from notification_core.model.statistics import CountsByWebhook
from tests.faults.tampering.patching import Function, replaced, step_by_step


def count_fenced_results() -> None:
    """Count a result too of which the fence does not hold, so that nothing of it is stored."""

    def by(finish: Function) -> Function:
        async def counting(
            store: Any, results: Sequence[AttemptResult], *rest: Any
        ) -> Sequence[Fence]:
            fenced: Sequence[Fence] = await finish(store, results, *rest)
            counts = CountsByWebhook()
            for attempt in (one.attempt for one in results if one.fence in fenced):
                counts.of(attempt.environment_id, attempt.webhook_id).count_attempt(attempt)
            async with rows_of(store).write_transaction() as (connection, writer):
                await rows_of(store).add(connection, counts, datetime.now(UTC), writer)
            return fenced

        return counting

    rows_of = attrgetter("_statistics")
    step_by_step()
    replaced("notification_adapters.sql.stores.deliveries:SqlDeliveryStore.finish", by)


def count_no_interruption() -> None:
    """Log interrupted attempts, and count those alone that have ended."""

    def by(count_attempt: Function) -> Function:
        def ended_ones(counts: Any, attempt: Any) -> None:
            if attempt.outcome is not AttemptOutcome.INTERRUPTED:
                count_attempt(counts, attempt)

        return ended_ones

    replaced("notification_core.model.statistics:Counts.count_attempt", by)
