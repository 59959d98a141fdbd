"""The library inside a host: what a service author does with it, on every storage."""

import asyncio
import logging
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from aiohttp import ClientSession, web
from attrs import field, frozen
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from notification_adapters.clock import SystemClock
from notification_adapters.memory import ManualClock, ScriptedSender, memory_storage
from notification_adapters.otel.tracer import OpenTelemetryTracer
from notification_core.errors import (
    InvalidEvent,
    InvalidInput,
    InvalidSettings,
    StorageUnusable,
    TooLarge,
)
from notification_core.model.delivery import DeliveryState
from notification_entrypoints.config.settings import Settings
from notification_entrypoints.embedded import (
    AdapterOverrides,
    Notifications,
    WebhookDraft,
    migrate,
    open_notifications,
    settings,
)
from tests.support.postgres_server import PostgresServer
from tests.support.receivers import LOOPBACK, Receiver
from tests.support.waiting import until

SECRET = "0123456789abcdef0123456789abcdef"
LOOPBACK_ONLY = {"WEBHOOKS_ALLOWED_NETWORKS": "127.0.0.0/8", "DB_ENCRYPTION_SECRET": SECRET}
ENVIRONMENT = uuid4()


@frozen
class Host:
    """A service with a database of its own, in which the library keeps its tables too."""

    chosen: Settings
    engine: AsyncEngine = field(repr=False)

    async def orders(self) -> int:
        """Return how many rows the host's own table has."""
        async with self.engine.connect() as connection:
            count = await connection.execute(sa.text("SELECT count(*) FROM orders"))
            return int(count.scalar_one())


@pytest.fixture(params=["sqlite", "postgres", "postgres schema"])
def place(request: pytest.FixtureRequest) -> tuple[str, PostgresServer | None]:
    if request.param == "sqlite":
        return request.param, None
    return request.param, request.getfixturevalue("postgres")


@pytest.fixture
async def host(place: tuple[str, PostgresServer | None], tmp_path: Path) -> AsyncIterator[Host]:
    kind, server = place
    async with AsyncExitStack() as stack:
        if server is None:
            driver, uri = "sqlite+aiosqlite", f"sqlite:///{tmp_path / 'host.sqlite'}"
        else:
            name = await stack.enter_async_context(server.database(empty=True))
            driver, uri = "postgresql+asyncpg", server.database_uri(name)
        schema = {"DB_SCHEMA": "notify"} if kind == "postgres schema" else {}
        chosen = settings(DB_URI=uri, **schema, **LOOPBACK_ONLY)
        engine = create_async_engine(f"{driver}:{uri.partition(':')[2]}")
        stack.push_async_callback(engine.dispose)
        await migrate(chosen)
        async with engine.begin() as connection:
            await connection.execute(sa.text("CREATE TABLE orders (id TEXT PRIMARY KEY)"))
        yield Host(chosen, engine)


@pytest.fixture
async def notifications(host: Host) -> AsyncIterator[Notifications]:
    async with open_notifications(host.chosen) as opened:
        yield opened


async def subscribe(notifications: Notifications, url: str) -> UUID:
    draft = WebhookDraft(name="orders", url=url, events=["job-completed"])
    webhook = await notifications.webhooks.create(ENVIRONMENT, draft)
    return webhook.webhook_id


async def test_what_is_published_arrives_and_is_in_the_log(notifications: Notifications) -> None:
    async with Receiver() as receiver:
        webhook_id = await subscribe(notifications, receiver.url)
        event = notifications.event(ENVIRONMENT, "job-completed", {"status": "succeeded"})
        (published,) = await notifications.publish([event])
        assert not published.duplicate
        (request,) = await receiver.wait_for(1)
        assert b'"data":{"status":"succeeded"}' in request.body

        async def is_logged() -> bool:
            return bool((await notifications.logs.page(ENVIRONMENT, webhook_id, 10)).rows)

        await until("it is logged", is_logged)
        record = await notifications.history.event(ENVIRONMENT, published.event_id)
        assert record.event_type == "job-completed"


async def test_an_environment_is_erased(notifications: Notifications) -> None:
    await subscribe(notifications, "http://127.0.0.1:50001")
    await notifications.erasures.begin(ENVIRONMENT)

    async def is_erased() -> bool:
        return (await notifications.erasures.get(ENVIRONMENT)).ended_at is not None

    await until("it is erased", is_erased)
    assert list(await notifications.webhooks.list(ENVIRONMENT)) == []


async def test_an_event_is_sent_once_the_hosts_transaction_commits(
    host: Host, notifications: Notifications
) -> None:
    async with Receiver() as receiver:
        await subscribe(notifications, receiver.url)
        event = notifications.event(ENVIRONMENT, "job-completed", {}, event_id="order-1")
        async with host.engine.begin() as connection:
            (published,) = await notifications.publish([event], connection=connection)
            await connection.execute(sa.text("INSERT INTO orders VALUES ('1')"))
            assert not receiver.requests
        (request,) = await receiver.wait_for(1)
        assert (published.event_id, request.headers["webhook-id"]) == ("order-1", "msg_order-1")
        assert await host.orders() == 1


async def test_an_event_dies_with_the_hosts_transaction(
    host: Host, notifications: Notifications
) -> None:
    async with Receiver() as receiver:
        await subscribe(notifications, receiver.url)
        doomed = notifications.event(ENVIRONMENT, "job-completed", {}, event_id="doomed")
        async with host.engine.connect() as connection, connection.begin() as transaction:
            await connection.execute(sa.text("INSERT INTO orders VALUES ('2')"))
            await notifications.publish([doomed], connection=connection)
            await transaction.rollback()
        # Had the first one been stored, its id would be known.
        alive = notifications.event(ENVIRONMENT, "job-completed", {}, event_id="alive")
        assert not (await notifications.publish([doomed, alive]))[0].duplicate
        await receiver.wait_for(2)
        assert await host.orders() == 0


async def test_a_duplicate_is_known_within_a_transaction_too(
    host: Host, notifications: Notifications
) -> None:
    event = notifications.event(ENVIRONMENT, "job-completed", {}, event_id="twice")
    await notifications.publish([event])
    async with host.engine.begin() as connection:
        (published,) = await notifications.publish([event], connection=connection)
    assert published.duplicate


async def test_the_hosts_connection_is_as_it_was_afterwards(
    host: Host, notifications: Notifications
) -> None:
    """What makes our tables found must not hide the host's."""
    event = notifications.event(ENVIRONMENT, "job-completed", {})
    async with host.engine.begin() as connection:
        await notifications.publish([event], connection=connection)
        await connection.execute(sa.text("INSERT INTO orders VALUES ('3')"))
        await notifications.publish([event], connection=connection)
    assert await host.orders() == 1


async def test_a_connection_to_another_database_is_refused(
    tmp_path: Path, host: Host, notifications: Notifications
) -> None:
    elsewhere = create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'elsewhere.sqlite'}")
    event = notifications.event(ENVIRONMENT, "job-completed", {})
    async with elsewhere.connect() as connection:
        with pytest.raises(StorageUnusable, match=r"over aiosqlite|does not hold our tables"):
            await notifications.publish([event], connection=connection)
    await elsewhere.dispose()
    assert await host.orders() == 0


async def test_two_live_in_one_process_and_touch_nothing_global(
    tmp_path: Path,
) -> None:
    handlers = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    logs, policy = logging.getLogger().handlers[:], asyncio.get_event_loop_policy()
    both = [settings(DB_URI=f"sqlite:///{tmp_path / name}", **LOOPBACK_ONLY) for name in ("a", "b")]
    for chosen in both:
        await migrate(chosen)
    async with (
        open_notifications(both[0]) as one,
        open_notifications(both[1]) as other,
        Receiver() as receiver,
    ):
        for each in (one, other):
            await subscribe(each, receiver.url)
            await each.publish([each.event(ENVIRONMENT, "job-completed", {})])
        await receiver.wait_for(2)
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == handlers
    assert logging.getLogger().handlers == logs
    assert asyncio.get_event_loop_policy() is policy


class TestApi:
    async def test_it_is_mounted_where_the_host_wants_it(self, tmp_path: Path) -> None:
        chosen = settings(DB_URI=f"sqlite:///{tmp_path / 'api'}", API_AUTH="none", **LOOPBACK_ONLY)
        await migrate(chosen)
        async with open_notifications(chosen) as notifications:
            app = web.Application()
            app.add_subapp("/notify", notifications.api())
            runner = web.AppRunner(app)
            await runner.setup()
            await web.TCPSite(runner, LOOPBACK, 0).start()
            host = f"http://{LOOPBACK}:{runner.addresses[0][1]}"
            draft = {"name": "a", "url": "http://127.0.0.1:8080/", "events": ["job-completed"]}
            async with ClientSession() as session:
                place = f"{host}/notify/environments/{ENVIRONMENT}/webhooks"
                async with session.post(place, json=draft) as created:
                    assert created.status == 201
                    location = created.headers["Location"]
                async with session.get(
                    f"http://{LOOPBACK}:{runner.addresses[0][1]}{location}"
                ) as got:
                    assert (await got.json())["name"] == "a"
            await runner.cleanup()

    async def test_who_may_call_it_must_be_said(self, tmp_path: Path) -> None:
        chosen = settings(DB_URI=f"sqlite:///{tmp_path / 'api'}", **LOOPBACK_ONLY)
        await migrate(chosen)
        async with open_notifications(chosen) as notifications:
            with pytest.raises(InvalidSettings, match="API_AUTH"):
                notifications.api()


class TestEvents:
    @pytest.fixture
    async def notifications(self) -> AsyncIterator[Notifications]:
        async with in_memory() as (opened, _, _):
            yield opened

    def test_what_is_left_out_is_made_up(self, notifications: Notifications) -> None:
        one = notifications.event(ENVIRONMENT, "job-completed", {"a": 1})
        other = notifications.event(ENVIRONMENT, "job-completed", {"a": 1})
        assert one.event_id != other.event_id
        assert one.occurred_at.utcoffset() is not None
        assert one.data == b'{"a":1}'

    @pytest.mark.parametrize(
        ("event_type", "data", "refusal"),
        [
            ("job-exploded", {}, InvalidEvent),
            ("job-completed", {"when": object()}, InvalidInput),
            ("job-completed", {"much": "x" * 2**20}, TooLarge),
        ],
    )
    def test_a_wrong_one_is_refused(
        self,
        notifications: Notifications,
        event_type: str,
        data: dict[str, object],
        refusal: type[Exception],
    ) -> None:
        with pytest.raises(refusal):
            notifications.event(ENVIRONMENT, event_type, data)


class TestInTheHostsOwnTests:
    async def test_a_retry_takes_no_time_with_a_clock_of_ones_own(self) -> None:
        async with in_memory() as (notifications, sender, clock):
            sender.respond("https://example.com/", 500, 200)
            await subscribe(notifications, "https://example.com/")
            event = notifications.event(ENVIRONMENT, "job-completed", {})
            (published,) = await notifications.publish([event])

            async def has_succeeded() -> bool:
                await clock.advance(1)
                return await _state(notifications, published.event_id) is DeliveryState.SUCCEEDED

            await until("it has succeeded", has_succeeded)
            assert len(sender.requests) == 2

    async def test_memory_takes_part_in_no_transaction(self) -> None:
        async with in_memory() as (notifications, _, _):
            engine = create_async_engine("sqlite+aiosqlite://")
            event = notifications.event(ENVIRONMENT, "job-completed", {})
            async with engine.connect() as connection:
                with pytest.raises(InvalidInput, match="in memory"):
                    await notifications.publish([event], connection=connection)
            await engine.dispose()

    async def test_whoever_only_publishes_leaves_delivering_to_others(self) -> None:
        clock = ManualClock()
        given = AdapterOverrides(clock=clock, storage=memory_storage(clock), dispatches=False)
        async with open_notifications(settings(DB_ENCRYPTION_SECRET=SECRET), given) as publisher:
            await subscribe(publisher, "https://example.com/")
            event = publisher.event(ENVIRONMENT, "job-completed", {})
            (published,) = await publisher.publish([event])
            assert await _state(publisher, published.event_id) is DeliveryState.PENDING


async def test_a_hosts_provider_records_what_is_published_in_the_hosts_own_span() -> None:
    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    clock = SystemClock()
    tracer = OpenTelemetryTracer(provider)
    given = AdapterOverrides(storage=memory_storage(clock), tracer=tracer)
    chosen = settings(**LOOPBACK_ONLY)
    async with Receiver() as receiver, open_notifications(chosen, given) as opened:
        await subscribe(opened, receiver.url)
        event = opened.event(ENVIRONMENT, "job-completed", {})
        with provider.get_tracer("the host").start_as_current_span("an order") as order:
            await opened.publish([event])
        (request,) = await receiver.wait_for(1)
        await opened.drain()
    trace_id = f"{order.get_span_context().trace_id:032x}"
    assert request.headers["traceparent"][3:35] == trace_id
    spans = {span.name: span for span in exporter.get_finished_spans()}
    assert spans.keys() == {"an order", "publish", "ingest", "attempt"}
    parents = {name: span.parent and span.parent.span_id for name, span in spans.items()}
    assert parents["publish"] == parents["attempt"] == order.get_span_context().span_id
    assert parents["ingest"] == spans["publish"].context.span_id


async def _state(notifications: Notifications, event_id: str) -> DeliveryState:
    page = await notifications.history.of_event(ENVIRONMENT, event_id, 1)
    return page.rows[0].state


@asynccontextmanager
async def in_memory() -> AsyncIterator[tuple[Notifications, ScriptedSender, ManualClock]]:
    """Open the library as a host's tests would: nothing of it leaves the process."""
    clock, sender = ManualClock(), ScriptedSender()
    given = AdapterOverrides(clock=clock, storage=memory_storage(clock), sender=sender)
    async with open_notifications(settings(DB_ENCRYPTION_SECRET=SECRET), given) as notifications:
        yield notifications, sender, clock
