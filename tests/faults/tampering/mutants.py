"""Products that break a promise, each in one way: a checker that is of use tells them apart.

They hold for both engines unless they say otherwise. None of them crashes or says what it does:
only what comes of it tells.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from functools import partial
from typing import Any, Final

import sqlalchemy as sa
from attrs import evolve
from sqlalchemy.ext.asyncio import AsyncConnection

from notification_adapters.sql.dialect import Lease
from notification_adapters.sql.tables import deliveries
from notification_core.model.delivery import (
    Attempt,
    AttemptOutcome,
    DeliveryState,
    Fence,
    NewDelivery,
)
from notification_core.model.retry_policy import error_in
from notification_core.ports.sender import SendingFailed
from tests.faults.tampering.counting_mutants import count_fenced_results, count_no_interruption
from tests.faults.tampering.patching import Function, replaced, step_by_step

_SQLITE: Final = "notification_adapters.sql.sqlite.dialect:SqliteDialect"
_POSTGRES: Final = "notification_adapters.sql.postgres.dialect:PostgresDialect"
_SLOW_COMMIT: Final = 5.0


def _replaced_step(
    name: str, by: Callable[[Function], Function], *, single_statement: bool = False
) -> None:
    if not single_statement:
        step_by_step()
    for dialect in (_SQLITE, _POSTGRES):
        replaced(f"{dialect}.{name}", _as_method(by))


def _as_method(by: Callable[[Function], Function]) -> Callable[[Function], Function]:
    """Have a method replaced by what is made of it without its object."""

    def of(method: Function) -> Function:
        async def replacement(dialect: Any, *arguments: Any) -> Any:
            return await by(partial(method, dialect))(*arguments)

        return replacement

    return of


def acknowledge_first() -> None:
    """Commit the offset as soon as a message is there."""

    def by(take: Function) -> Function:
        async def taking(source: Any) -> Any:
            if messages := await take(source):
                await source.acknowledge(messages)
            return messages

        return taking

    replaced("notification_adapters.kafka.event_source:KafkaSource.take", by)


def respond_before_the_commit() -> None:
    """Answer and hand over while the commit is still to come."""

    def by(ingesting: Function) -> Function:
        @asynccontextmanager
        async def not_yet(store: Any) -> AsyncGenerator[Any]:
            stack = AsyncExitStack()
            yield await stack.enter_async_context(ingesting(store))
            committing.add(asyncio.create_task(_after_a_while(stack)))

        return not_yet

    committing: set[asyncio.Task[None]] = set()
    step_by_step()
    replaced("notification_adapters.sql.stores.deliveries:SqlDeliveryStore.ingesting", by)


async def _after_a_while(stack: AsyncExitStack) -> None:
    await asyncio.sleep(_SLOW_COMMIT)
    await stack.aclose()


def acknowledge_what_is_found() -> None:
    """Acknowledge rows that were found although no standby may have them (PostgreSQL)."""
    for module in ("deliveries", "database"):
        where = f"notification_adapters.sql.postgres.{module}:CONFIRM"
        replaced(where, lambda _: "SELECT 'nothing is written'")


def cancel_slow_commits() -> None:
    """Have the driver cancel a commit that takes long, and do as the mutant before."""

    def by(_: Function) -> Function:
        async def impatient(_: Any, connection: Any, statement: str, *values: Any) -> Any:
            run = connection.fetch if values else connection.execute
            async with asyncio.timeout(_SLOW_COMMIT):
                return await run(statement, *values)

        return impatient

    acknowledge_what_is_found()
    replaced("notification_adapters.sql.postgres.commits:CommitTracker.run", by)


def begin_when_it_has_ended() -> None:
    """Write that an attempt was begun together with what it came to."""

    def adding(add: Function) -> Function:
        async def due(c: AsyncConnection, new: Sequence[NewDelivery], lease: Lease) -> None:
            await add(c, [evolve(one, claimed=False) for one in new], lease)

        return due

    def beginning(begin: Function) -> Function:
        async def undone(connection: AsyncConnection, *arguments: Any) -> Any:
            savepoint = await connection.begin_nested()
            begun = await begin(connection, *arguments)
            await savepoint.rollback()
            return begun

        return undone

    def holding(held: Function) -> Function:
        async def begun_now(c: AsyncConnection, fences: Sequence[Fence], *arguments: Any) -> Any:
            for fence in fences:
                await c.execute(_begun(fence))
            return await held(c, fences, *arguments)

        return begun_now

    _replaced_step("add_deliveries", adding)
    _replaced_step("claim", beginning)
    _replaced_step("lock_held", holding)


def _begun(fence: Fence) -> sa.Update:
    is_next = (deliveries.c.delivery_id == fence.delivery_id) & (
        deliveries.c.attempt == fence.attempt - 1
    )
    return sa.update(deliveries).where(is_next).values(attempt=fence.attempt, worker=fence.worker)


def drop_the_fence() -> None:
    """Take a result, or what is given back, from whoever brings it."""

    def by(held: Function) -> Function:
        async def anybodys(c: AsyncConnection, fences: Sequence[Fence], *arguments: Any) -> Any:
            owners = await _owners(c, fences)
            theirs = [owners.get(one.delivery_id, one) for one in fences]
            return await held(c, theirs, *arguments)

        return anybodys

    _replaced_step("lock_held", by, single_statement=True)
    replaced(f"{_POSTGRES}.succeed", _as_method(by))
    replaced("notification_adapters.sql.postgres.deliveries:FINISH", _of_anybody)
    replaced("notification_adapters.sql.sqlite.deliveries:SUCCEED", _of_any_worker)


def _of_anybody(finish: str) -> str:
    fence = "AND d.attempt = r.attempt AND d.worker IS NOT DISTINCT FROM r.worker"
    return finish.replace(fence, "AND d.worker IS NOT NULL")


def _of_any_worker(succeed: str) -> str:
    fence = "AND attempt = ? AND worker = ?"
    return succeed.replace(fence, "AND worker IS NOT NULL AND ? IS NOT NULL AND ? IS NOT NULL")


async def _owners(connection: AsyncConnection, fences: Sequence[Fence]) -> Mapping[Any, Fence]:
    c = deliveries.c
    asked = sa.select(c.delivery_id, c.environment_id, c.attempt, c.worker).where(
        c.delivery_id.in_([one.delivery_id for one in fences]), c.worker.is_not(None)
    )
    return {row.delivery_id: Fence(*row) for row in await connection.execute(asked)}


def claim_what_is_leased() -> None:
    """Claim deliveries whatever lease there is on them."""

    def by(waiting: Function) -> Function:
        async def all_of_them(connection: AsyncConnection, *arguments: Any) -> Any:
            pending = deliveries.c.state == DeliveryState.PENDING.value
            await connection.execute(
                sa.update(deliveries).where(pending).values(worker=None, leased_until=None)
            )
            return await waiting(connection, *arguments)

        return all_of_them

    _replaced_step("lock_due", by)


def take_the_living_for_dead() -> None:
    """Free the leases of those who live and work."""

    def by(overdue: Function) -> Function:
        async def all_of_them(c: AsyncConnection, _: object, *arguments: Any) -> Any:
            return await overdue(c, (await c.scalars(owners)).all(), *arguments)

        return all_of_them

    owners = sa.select(deliveries.c.worker).where(deliveries.c.worker.is_not(None)).distinct()
    _replaced_step("lock_overdue", by)


def leave_what_the_dead_held() -> None:
    """Never free a lease."""

    def by(_: Function) -> Function:
        async def none_of_them(*_: object) -> Sequence[object]:
            return ()

        return none_of_them

    _replaced_step("lock_overdue", by)


def take_the_interrupted_for_delivered() -> None:
    """Assume of an attempt that was cut off that it arrived."""

    def by(reaped: Function) -> Function:
        def delivered(overdue: Any, log_id: Any, now: datetime, *rest: Any) -> Any:
            made = reaped(overdue, log_id, now, *rest)
            end = {"state": DeliveryState.SUCCEEDED, "due_at": None, "ended_at": now}
            return made._replace(update=made.update._replace(**end))

        return delivered

    replaced("notification_adapters.sql.stores.deliveries:logged_interruption", by)


def log_no_interruption() -> None:
    """Keep quiet about attempts of which nobody knows what came of them."""

    def by(log: Function) -> Function:
        async def known_ones(connection: AsyncConnection, attempts: Sequence[Attempt]) -> None:
            await log(
                connection, [o for o in attempts if o.outcome is not AttemptOutcome.INTERRUPTED]
            )

        return known_ones

    _replaced_step("log_attempts", by)


def finish_in_two_transactions() -> None:
    """Commit one of what an attempt came to and what happens to its delivery first (SQLite)."""

    def by(step: Function) -> Function:
        async def and_commit(connection: AsyncConnection, *arguments: Any) -> Any:
            done = await step(connection, *arguments)
            await _commit_and_go_on(connection)
            return done

        return and_commit

    step_by_step()
    replaced(f"{_SQLITE}.log_attempts", _as_method(by))
    replaced(f"{_SQLITE}.update_deliveries", _as_method(by))


def store_an_event_without_its_deliveries() -> None:
    """Commit an event before its deliveries (SQLite)."""

    def by(add: Function) -> Function:
        async def later(connection: AsyncConnection, *arguments: Any) -> None:
            await _commit_and_go_on(connection)
            await add(connection, *arguments)

        return later

    step_by_step()
    replaced(f"{_SQLITE}.add_deliveries", _as_method(by))


async def _commit_and_go_on(connection: AsyncConnection) -> None:
    await connection.exec_driver_sql("COMMIT")
    await connection.exec_driver_sql("BEGIN IMMEDIATE")


def know_no_event() -> None:
    """Take an event that comes again for a new one."""

    def by(add: Function) -> Function:
        async def all_new(*arguments: Any) -> Mapping[object, object]:
            await add(*arguments)
            return {}

        return all_new

    _replaced_step("add_events", by)


def sign_once() -> None:
    """Give a retry the signature of the first attempt."""

    def by(headers_for: Function) -> Function:
        def first_headers_for(signatures: Any, delivery: Any, keys: Any, second: int) -> Any:
            first = seconds.setdefault(delivery.fence.delivery_id, second)
            return headers_for(signatures, delivery, keys, first)

        return first_headers_for

    seconds: dict[object, int] = {}
    replaced("notification_core.signing.signatures:SignatureCache.headers_for", by)


def send_another_body() -> None:
    """Send more than was signed."""

    def by(send: Function) -> Function:
        async def longer(sender: Any, request: Any, *rest: Any) -> Any:
            return await send(sender, evolve(request, body=request.body + b"\n"), *rest)

        return longer

    replaced("notification_adapters.http.native.sender:NativeSender.send", by)


def begin_without_a_word() -> None:
    """Send what is prefetched without noting in storage that it has begun."""

    def by(_: Function) -> Function:
        async def nothing(*_: Any) -> bool:
            return True

        return nothing

    replaced("notification_adapters.sql.stores.deliveries:SqlDeliveryStore.begin", by)


def take_the_prefetched_for_begun() -> None:
    """Log an interruption of all that a dead worker had, sent or not."""

    class Everything(frozenset[Any]):
        def __contains__(self, _: object) -> bool:
            return True

    def by(_: Function) -> Function:
        async def all_of_it(*_: Any) -> Any:
            return Everything()

        return all_of_it

    replaced("notification_adapters.sql.stores.worker_rows:close", by)


def send_again_in_silence() -> None:
    """Send a request once more where it failed, and log one of them."""

    def by(send: Function) -> Function:
        async def twice(*arguments: Any) -> Any:
            try:
                response = await send(*arguments)
            except SendingFailed:
                return await send(*arguments)
            return response if error_in(response) is None else await send(*arguments)

        return twice

    replaced("notification_adapters.http.native.sender:NativeSender.send", by)


def give_up_early() -> None:
    """Count one retry less than there are."""

    def by(after_failure: Function) -> Function:
        def sooner(policy: Any, failures: int, *rest: Any) -> Any:
            return after_failure(policy, failures + 1, *rest)

        return sooner

    replaced("notification_core.model.retry_policy:RetryPolicy.after_failure", by)


def heed_no_change() -> None:
    """Go on with what is in hand, whatever happens to its webhook."""
    replaced(
        "notification_core.dispatch.fair_queue:FairQueue.on_webhooks_changed",
        lambda _: lambda *_: False,
    )
    replaced(
        "notification_core.dispatch.delivery_runner:DeliveryRunner.refresh",
        lambda _: lambda *_: None,
    )


def heed_no_order() -> None:
    """Let all that is to be delivered in order be due at once."""

    def by(_: Function) -> Function:
        return lambda now, **_: now

    replaced("notification_adapters.sql.stores.ordering:due_on_joining", by)


def take_the_paused_for_healthy() -> None:
    """Claim all that waits for a paused webhook, and not one delivery to probe it."""

    def by(scan: Function) -> Function:
        async def healthy_ones(*arguments: Any) -> Any:
            revision, now, queues = await scan(*arguments)
            return revision, now, [queue._replace(probes=None) for queue in queues]

        return healthy_ones

    _replaced_step("scan_queues", by, single_statement=True)


MUTANTS: Final[Mapping[str, Callable[[], None]]] = {
    one.__name__: one
    for one in (
        acknowledge_first,
        acknowledge_what_is_found,
        respond_before_the_commit,
        begin_when_it_has_ended,
        begin_without_a_word,
        cancel_slow_commits,
        claim_what_is_leased,
        count_fenced_results,
        count_no_interruption,
        drop_the_fence,
        finish_in_two_transactions,
        give_up_early,
        heed_no_change,
        heed_no_order,
        know_no_event,
        leave_what_the_dead_held,
        log_no_interruption,
        send_again_in_silence,
        send_another_body,
        sign_once,
        store_an_event_without_its_deliveries,
        take_the_interrupted_for_delivered,
        take_the_living_for_dead,
        take_the_paused_for_healthy,
        take_the_prefetched_for_begun,
    )
}


def mutate(name: str) -> None:
    """Make this mutant of the product."""
    MUTANTS[name]()
