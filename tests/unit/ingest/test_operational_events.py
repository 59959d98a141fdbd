"""Publishing operational events: again and again, whatever fails."""

import asyncio

import pytest
from attrs import define, field

from notification_adapters.memory import ManualClock, memory_storage
from notification_core.ingest.operational_events import OperationalEventPublisher
from notification_core.model.delivery import MAX_DELIVERIES_PER_TRANSACTION
from notification_core.model.event import Source
from notification_core.model.outbox_message import OperationalEventType, webhook_resumed
from tests.support.assembly import MemoryApp
from tests.support.samples import ENVIRONMENT, NOW, a_webhook, an_id
from tests.support.waiting import advance_until

OPERATIONAL = an_id()
RESUMED = OperationalEventType.WEBHOOK_RESUMED


@define
class Publishing:
    """A publisher over a storage in memory."""

    app: MemoryApp = field()
    publisher: OperationalEventPublisher = field(init=False)

    @app.default
    def _app(self) -> MemoryApp:
        clock = ManualClock()
        storage = memory_storage(clock, operational_environment=OPERATIONAL)
        return MemoryApp(clock=clock, storage=storage, source=Source.OPERATIONAL)

    def __attrs_post_init__(self) -> None:
        app = self.app
        self.publisher = OperationalEventPublisher(
            environment_id=OPERATIONAL,
            deliveries=app.deliveries,
            ingest=app.ingest,
            clock=app.clock,
            observer=app.observer,
            poll_interval=app.dispatch_rules.poll_interval,
        )

    def happen(self, count: int = 1) -> None:
        for _ in range(count):
            event = webhook_resumed(ENVIRONMENT, an_id(), NOW, NOW)
            self.app.storage.state.append_operational_event(event)

    def subscribe(self, count: int = 1) -> None:
        for _ in range(count):
            events = frozenset({RESUMED.value})
            webhook = a_webhook(environment_id=OPERATIONAL, events=events)
            self.app.storage.state.change(webhook)

    async def until(self, delivered: int, within: float) -> None:
        await advance_until(lambda: self.delivered == delivered, self.app.clock, within=within)

    @property
    def delivered(self) -> int:
        return len(self.app.storage.state.deliveries)


@pytest.fixture
async def publishing() -> Publishing:
    return Publishing()


async def test_what_happens_is_published_as_long_as_it_runs(publishing: Publishing) -> None:
    publishing.subscribe()
    running = asyncio.create_task(publishing.publisher.run())
    for total in (1, 2):
        publishing.happen()
        await publishing.until(total, within=2)
    running.cancel()


async def test_it_goes_on_after_storage_was_unavailable(publishing: Publishing) -> None:
    publishing.subscribe()
    publishing.happen()
    publishing.app.faults.unreachable = True
    running = asyncio.create_task(publishing.publisher.run())
    await publishing.app.clock.advance(3)
    assert publishing.delivered == 0
    assert {name for name, _ in publishing.app.observer.errors} == {"operational_events"}
    publishing.app.faults.end()
    await publishing.until(1, within=2)
    running.cancel()


async def test_a_batch_of_too_many_deliveries_is_published_in_smaller_ones(
    publishing: Publishing,
) -> None:
    webhooks = MAX_DELIVERIES_PER_TRANSACTION // 100 + 1
    publishing.subscribe(webhooks)
    publishing.happen(100)
    running = asyncio.create_task(publishing.publisher.run())
    await publishing.until(100 * webhooks, within=10)
    running.cancel()


async def test_what_nobody_subscribes_to_is_not_kept(publishing: Publishing) -> None:
    publishing.happen()
    assert await publishing.publisher.publish_batch() == 1
    assert publishing.delivered == 0
    (event,) = publishing.app.storage.state.events.values()
    assert event.body is None
