"""The faults that alerts fire for: what is broken how, and which alerts must fire."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Final

from attrs import field, frozen

from notification_adapters.sql.postgres.server import PostgresConnection
from tests.faults.stage import Api
from tests.monitoring.site import Plan, Site
from tests.support.receivers import ReceivedRequest
from tests.support.waiting import until

Making = Callable[[Site], Awaitable[None]]

_UP_AND_API: Final = frozenset({"up", "api"})
_BEHIND: Final = 12_000
"""Messages: more than the alert of the lag allows."""

# A million of 1970: to delete them takes some minutes.
_OLD_DEAD_LETTERS: Final = """
INSERT INTO dead_letters (letter_id, message_id, reason, topic, topic_partition, topic_offset,
  timestamp_ms, headers, stored_at)
SELECT lpad(to_hex(n), 32, '0')::uuid, lpad(to_hex(n), 32, '0')::uuid, '', 't', 0, n, 0, '[]',
  to_timestamp(0)
FROM generate_series(1, 1000000) AS n
"""


@frozen
class Fault:
    """What is broken how, and the alerts that must fire.

    ``may_follow`` are those that the runbook names as its consequences, each with how.
    """

    name: str
    alerts: Collection[str]
    make: Making
    plan: Plan = field(factory=Plan)
    may_follow: Mapping[str, str] = field(factory=dict)

    @property
    def expected(self) -> set[str]:
        """Return the full names of the alerts that must fire."""
        return {f"Notification{alert}" for alert in self.alerts}

    def explains(self, fired: set[str]) -> bool:
        """Tell whether all fired that must, and nothing that may not."""
        allowed = self.expected | {f"Notification{alert}" for alert in self.may_follow}
        return self.expected <= fired <= allowed


async def _nothing(_: Site) -> None:
    """Break nothing."""


# Receivers.


async def _one_receiver_down(site: Site) -> None:
    await site.receivers[0].down()


async def _all_receivers_down(site: Site) -> None:
    for receiver in site.receivers:
        await receiver.down()


async def _one_receiver_hangs(site: Site) -> None:
    site.receivers[0].respond("hang")


def _slow_receivers(seconds: float) -> Making:
    async def respond(_: ReceivedRequest) -> int:
        await asyncio.sleep(seconds)
        return 200

    async def make(site: Site) -> None:
        for receiver in site.receivers:
            receiver.respond(respond)

    return make


# Processes.


async def _deliverer_killed(site: Site) -> None:
    await site.deliverer.kill()


async def _all_killed(site: Site) -> None:
    await site.deliverer.kill()
    await site.api_server.kill()


async def _workers_killed(site: Site) -> None:
    for _ in range(4):
        former = site.deliverer.workers
        (worker, *_) = former
        os.kill(worker, signal.SIGKILL)

        async def is_replaced(former: Sequence[int] = former) -> bool:
            now = site.deliverer.workers
            is_new = len(now) == len(former) and set(now) != set(former)
            return is_new and await site.deliverer.is_ready()  # the other one delivers until then

        await until("a worker has been started again", is_replaced)


async def _worker_hangs(site: Site) -> None:
    """Stop a worker for longer than its lease, while it waits for receivers."""
    await _slow_receivers(1)(site)
    await asyncio.sleep(3)
    worker, *_ = site.deliverer.workers
    await _stop(worker, 6)


async def _cpu_taken(site: Site) -> None:
    """Let the workers have the CPU for half of the time only, as a crowded host does."""

    async def take() -> None:
        while True:
            await asyncio.gather(*(_stop(worker, 0.4) for worker in site.deliverer.workers))
            await asyncio.sleep(0.4)

    taking = asyncio.create_task(take())
    site.stack.callback(taking.cancel)


async def _stop(process: int, seconds: float) -> None:
    os.kill(process, signal.SIGSTOP)
    try:
        await asyncio.sleep(seconds)
    finally:
        os.kill(process, signal.SIGCONT)


async def _log_reader_gone(site: Site) -> None:
    """End whoever reads the log, and have something to be logged."""
    assert site.log is not None
    asyncio.get_running_loop().remove_reader(site.log)
    os.close(site.log)
    await site.receivers[0].down()


# The database.


async def _database_down(site: Site) -> None:
    await asyncio.to_thread(site.server.stop, at_once=True)


async def _session(site: Site) -> PostgresConnection:
    """Return a session that somebody else has on the database, as long as there is the site."""
    return await site.stack.enter_async_context(site.server.connected(site.place.database))


async def _deliveries_locked(site: Site) -> None:
    """Hold locks on deliveries that wait for a retry, as a forgotten transaction does."""
    site.receivers[0].respond(*[500] * 5, 200)
    session = await _session(site)
    waiting = "SELECT 1 FROM deliveries WHERE state = 'pending' AND worker IS NULL FOR UPDATE"

    async def are_locked() -> bool:
        transaction = session.transaction()
        await transaction.start()
        if await session.fetch(waiting):
            return True
        await transaction.rollback()
        return False

    await until("deliveries wait for a retry", are_locked)


async def _locked_for_moments(site: Site) -> None:
    """Have somebody lock the deliveries for most of the time, a moment each time."""
    session = await _session(site)

    async def lock() -> None:
        while True:
            async with session.transaction():
                await session.execute("LOCK TABLE deliveries IN EXCLUSIVE MODE")
                await asyncio.sleep(0.8)
            await asyncio.sleep(0.1)

    locking = asyncio.create_task(lock())
    site.stack.callback(locking.cancel)


async def _erasure_waits(site: Site) -> None:
    """Erase an environment while somebody's transaction that has stored events is open."""
    other = Api(site.customers[0].session, site.customers[0].base)
    await other.subscribe(site.receivers[0].url)
    session = await _session(site)
    await session.transaction().start()
    # The locks that an insert takes, and a transaction that has written.
    await session.execute("LOCK TABLE events IN ROW EXCLUSIVE MODE")
    await session.execute("SELECT txid_current()")
    await other.call("DELETE", f"environments/{other.environment}")


async def _flooded_with_old(site: Site) -> None:
    """Have more that is too old than a round of retention deletes in minutes."""
    await site.place.execute(_OLD_DEAD_LETTERS)


# Kafka.


async def _kafka_down(site: Site) -> None:
    """Kill Kafka, and have an operational event that it should get."""
    assert site.broker
    assert site.kafka
    *_, load = site.loads
    load.cancel()
    # A producer that has something to send would try for ever.
    await asyncio.wait([load])
    await site.kafka.close()
    await asyncio.to_thread(site.broker.server.kill)
    await _rotate_key(site)


async def _rotate_key(site: Site) -> None:
    api = site.customers[0]
    await api.call("POST", f"environments/{api.environment}/settings/verification-keys")


async def _consumer_stopped(site: Site) -> None:
    await site.consumer.terminate()


async def _consumer_stopped_and_messages_sent(site: Site) -> None:
    await site.consumer.terminate()
    for first in range(0, _BEHIND, 1_000):
        await site.produce(range(10_000 + first, 11_000 + first))


async def _consumer_stopped_and_key_rotated(site: Site) -> None:
    await site.consumer.terminate()
    await _rotate_key(site)


FAULTS: Final[Sequence[Fault]] = (
    # The longest first: some are tried beside one another.
    Fault("more is too old than is deleted", ("RetentionLate",), _flooded_with_old),
    Fault(
        "an erasure waits for a transaction that was left open", ("ErasureLate",), _erasure_waits
    ),
    Fault("nothing", (), _nothing),
    Fault("one receiver is down", (), _one_receiver_down),
    Fault("one receiver hangs", (), _one_receiver_hangs),
    Fault("all receivers are unreachable", ("EnvironmentsUnreachable",), _all_receivers_down),
    Fault(
        "receivers are slow, and all requests in flight are taken",
        # The second is what customers notice of the first.
        ("DeliveriesLate", "FirstAttemptsLate"),
        _slow_receivers(1),
        Plan({"WEBHOOKS_MAX_IN_FLIGHT": "4"}),
    ),
    Fault(
        "a transaction that was left open holds deliveries",
        ("DeliveriesLate",),
        _deliveries_locked,
        Plan({"WEBHOOKS_RETRY_INTERVAL": "3s"}),
    ),
    Fault(
        "the database is down",
        # Publishers get 503, and nearly all tasks need the database.
        ("PartUnavailable", "ApiErrors", "BackgroundTaskFailing"),
        _database_down,
    ),
    Fault(
        "the database is slow, and connections are few",
        ("ConnectionsScarce",),
        _locked_for_moments,
        Plan({"DB_POOL_SIZE": "1"}),
    ),
    Fault(
        "Kafka is down, and an operational event waits",
        # The tasks that consume, relay and measure the lag fail meanwhile.
        ("PartUnavailable", "BackgroundTaskFailing", "MessagesNotRelayed"),
        _kafka_down,
        Plan(kafka=_UP_AND_API),
    ),
    Fault(
        "the consumer is stopped, and messages come",
        ("KafkaLag",),
        _consumer_stopped_and_messages_sent,
        Plan(kafka=frozenset({"consumer", "api"})),
    ),
    Fault(
        "the consumer is stopped, and an operational event waits",
        ("MessagesNotRelayed",),
        _consumer_stopped_and_key_rotated,
        Plan(kafka=frozenset({"consumer", "api"})),
    ),
    Fault(
        "the consumer is stopped, and nobody else knows Kafka",
        ("KafkaLagUnknown",),
        _consumer_stopped,
        Plan(kafka=frozenset({"consumer"})),
    ),
    Fault("the process that delivers is killed", ("NothingDelivers",), _deliverer_killed),
    Fault("all processes are killed", ("Absent",), _all_killed),
    Fault("workers keep ending", ("WorkersRestarting",), _workers_killed),
    Fault(
        "a worker hangs for longer than its lease",
        ("ResultsFenced",),
        _worker_hangs,
        Plan({"WEBHOOKS_LEASE": "3s", "WEBHOOKS_WRITE_TIMEOUT": "2s"}),
    ),
    Fault("workers get half of the CPU's time", ("EventLoopLags",), _cpu_taken),
    Fault(
        "requests in flight need more open files than there may be",
        ("ResourceExhausted",),
        _slow_receivers(8),
        Plan({"WEBHOOKS_MAX_IN_FLIGHT": "512"}, open_files=100),
        {
            "PartUnavailable": "/readyz names what is short at its part `sending`.",
            "DeliveriesLate": "What could not be sent waits for its next turn.",
            "FirstAttemptsLate": "It is sent after that.",
        },
    ),
    Fault(
        "what reads the log has ended",
        ("LogLinesDropped",),
        _log_reader_gone,
        Plan(has_log_pipe=True),
    ),
)
