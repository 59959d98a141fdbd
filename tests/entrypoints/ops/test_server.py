"""The ops server, asked over HTTP as a probe and Prometheus ask it."""

import asyncio
from asyncio import Event
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from uuid import uuid4

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs

from notification_core.errors import StorageUnavailable
from notification_core.model.delivery import AttemptOutcome, ErrorCode
from notification_core.model.event import Source
from notification_core.model.message import DeadLetter, Message
from notification_core.model.webhook import DisabledReason
from notification_core.ports.backlog import BacklogSize
from notification_core.ports.sender import Phase
from notification_entrypoints.observability.metrics import Metrics
from notification_entrypoints.ops.server import Check, Health, Info, Readiness, ops_app

INFO = Info(version="1.2.3", commit="abc", env="test", pod_name="p1", pod_ip="10.0.0.1")
SOON = timedelta(milliseconds=50)
AGES = timedelta(hours=1)

Client = TestClient[web.Request, web.Application]


async def works() -> None:
    """Pass, as the check of a part that works."""


async def is_away() -> None:
    raise StorageUnavailable("the database refuses connections")


async def breaks() -> None:
    raise RuntimeError("postgresql://me:hunter2@db")


async def hangs() -> None:
    await Event().wait()


class Stubborn:
    """The check of a part that ignores its cancellation until it is let go."""

    def __init__(self) -> None:
        self.asked = 0
        self.let_go = Event()

    async def __call__(self) -> None:
        self.asked += 1
        while not self.let_go.is_set():
            try:
                await self.let_go.wait()
            except asyncio.CancelledError:
                continue


class Ops:
    """A running ops server, whose parts a test changes."""

    def __init__(self) -> None:
        self.metrics = Metrics("1.2.3", "abc")
        self.checks: dict[str, Check] = {}
        self.shown: dict[str, Check] = {}
        self.stopping = Event()
        self.patience = AGES

    async def start(self) -> Client:
        readiness = Readiness(self.checks, self.patience, self.shown)
        app = ops_app(self.metrics, readiness, INFO, stopping=self.stopping)
        client = TestClient(TestServer(app))
        await client.start_server()
        return client


@pytest.fixture
async def ops() -> Ops:
    return Ops()


@pytest.fixture
async def client(ops: Ops) -> AsyncIterator[Client]:
    client = await ops.start()
    yield client
    await client.close()


@pytest.fixture
async def hasty(ops: Ops) -> AsyncIterator[Client]:
    """Return the client of a server that waits for its parts but a moment."""
    ops.patience = SOON
    client = await ops.start()
    yield client
    await client.close()


async def get(client: Client, path: str) -> tuple[int, Mapping[str, object]]:
    async with client.get(path) as response:
        assert response.content_type == "application/json"
        assert response.headers["Cache-Control"] == "no-store"
        return response.status, await response.json()


async def samples(client: Client) -> Mapping[tuple[str, tuple[str, ...]], float]:
    """Return what Prometheus reads: (name, values of the labels by the labels' names) → value."""
    async with client.get("/metrics") as response:
        assert response.status == 200
        assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        families = list(text_string_to_metric_families(await response.text()))
    assert all(family.name.startswith(("notification_", "process_")) for family in families)
    return {
        (sample.name, tuple(sample.labels[name] for name in sorted(sample.labels))): sample.value
        for family in families
        for sample in family.samples
    }


async def test_a_running_process_is_alive_even_when_its_parts_are_unavailable(
    ops: Ops, client: Client
) -> None:
    ops.checks["storage"] = is_away
    assert await get(client, "/healthz") == (200, {"status": "ok"})


async def test_is_ready_when_all_parts_work(ops: Ops, client: Client) -> None:
    assert await get(client, "/readyz") == (200, {"status": "ok", "parts": {}})
    ops.checks |= {"storage": works, "kafka": works}
    ready = {"status": "ok", "parts": {"storage": "ok", "kafka": "ok"}}
    assert await get(client, "/readyz") == (200, ready)


async def test_says_which_part_is_unavailable_and_why(ops: Ops, client: Client) -> None:
    ops.checks |= {"storage": is_away, "kafka": works}
    status, body = await get(client, "/readyz")
    assert status == 503
    assert body == {
        "status": "unavailable",
        "parts": {"storage": "the database refuses connections", "kafka": "ok"},
    }


async def test_is_ready_again_when_the_part_is_back(ops: Ops, client: Client) -> None:
    ops.checks["storage"] = is_away
    assert (await get(client, "/readyz"))[0] == 503
    ops.checks["storage"] = works
    assert (await get(client, "/readyz"))[0] == 200


async def test_an_unexpected_error_is_not_told_to_strangers_but_logged(
    ops: Ops, client: Client
) -> None:
    ops.checks["storage"] = breaks
    with capture_logs() as logged:
        status, body = await get(client, "/readyz")
    assert (status, body["parts"]) == (503, {"storage": "RuntimeError: see the log"})
    (line,) = logged
    assert line["part"] == "storage"
    assert isinstance(line["exc_info"], RuntimeError)


async def test_a_part_that_hangs_does_not_hang_the_probe(ops: Ops, hasty: Client) -> None:
    ops.checks |= {"storage": hangs, "kafka": works}
    status, body = await get(hasty, "/readyz")
    assert status == 503
    assert body["parts"] == {"storage": "no response within 50ms", "kafka": "ok"}


async def test_a_part_that_cannot_be_cancelled_is_asked_but_once_at_a_time(
    ops: Ops, hasty: Client
) -> None:
    stubborn = Stubborn()
    ops.checks["kafka"] = stubborn
    for _ in range(3):
        status, body = await get(hasty, "/readyz")
        assert (status, body["parts"]) == (503, {"kafka": "no response within 50ms"})
    assert stubborn.asked == 1
    stubborn.let_go.set()
    while (await get(hasty, "/readyz"))[0] != 200:
        pass
    assert stubborn.asked == 2


async def test_a_part_that_goes_while_it_is_asked_is_no_failure() -> None:
    checks: dict[str, Check] = {"start": works}
    readiness = Readiness(checks, AGES)
    asking = asyncio.create_task(readiness.health())
    await asyncio.sleep(0)  # it has chosen whom to ask, and nobody has answered yet
    del checks["start"]
    assert await asking == Health({"start": "ok"}, is_ready=True)


async def test_once_closed_no_part_is_waited_for() -> None:
    asked = Event()

    async def hangs_once_asked() -> None:
        asked.set()
        await hangs()

    readiness = Readiness({"storage": hangs_once_asked}, AGES)
    health = asyncio.create_task(readiness.health())
    await asked.wait()
    await readiness.close()
    assert (await health).parts == {"storage": "no response within 1h"}


async def test_a_part_that_is_only_shown_does_not_make_the_process_unready(
    ops: Ops, client: Client
) -> None:
    ops.checks["storage"] = works
    ops.shown["event source"] = is_away
    parts = {"event source": "the database refuses connections", "storage": "ok"}
    assert await get(client, "/readyz") == (200, {"status": "ok", "parts": parts})
    ops.checks["storage"] = is_away
    assert (await get(client, "/readyz"))[0] == 503


async def test_a_process_that_stops_is_not_ready_but_alive(ops: Ops, client: Client) -> None:
    ops.checks["storage"] = works
    ops.stopping.set()
    assert await get(client, "/readyz") == (503, {"status": "stopping", "parts": {}})
    assert (await get(client, "/healthz"))[0] == 200


async def test_a_process_that_stops_while_it_is_asked_is_not_ready(
    ops: Ops, client: Client
) -> None:
    async def stop() -> None:
        ops.stopping.set()

    ops.checks["storage"] = stop
    assert (await get(client, "/readyz"))[0] == 503


async def test_says_what_is_running_and_where(client: Client) -> None:
    expected = {
        "version": "1.2.3",
        "commit": "abc",
        "env": "test",
        "pod_name": "p1",
        "pod_ip": "10.0.0.1",
    }
    assert await get(client, "/info") == (200, expected)


async def test_counts_what_comes_in(ops: Ops, client: Client) -> None:
    ops.metrics.events_ingested(Source.HTTP, new=5, duplicates=2)
    ops.metrics.events_rejected(1)
    ops.metrics.message_dead_lettered(
        DeadLetter(Message("t", 0, 0, 0, b"{"), "It is not an event.")
    )
    ops.metrics.event_conflicted(uuid4(), "e1")
    ops.metrics.data_schema_mismatched("job-created")
    ops.metrics.deliveries_stored(claimed=3, unclaimed=4, skipped=1)
    counted = await samples(client)
    assert counted["notification_events_total", ("accepted", "http")] == 5
    assert counted["notification_events_total", ("duplicate", "http")] == 2
    assert counted["notification_events_total", ("rejected", "http")] == 1
    assert counted["notification_events_total", ("rejected", "kafka")] == 1
    assert counted["notification_dead_letters_total", ()] == 1
    assert counted["notification_event_conflicts_total", ()] == 1
    assert counted["notification_data_schema_mismatches_total", ("job-created",)] == 1
    assert counted["notification_deliveries_stored_total", ("claimed",)] == 3
    assert counted["notification_deliveries_stored_total", ("unclaimed",)] == 4
    assert counted["notification_deliveries_stored_total", ("skipped",)] == 1


async def test_counts_what_happens_to_it(ops: Ops, client: Client) -> None:
    ops.metrics.attempt_ended(AttemptOutcome.SUCCEEDED, None, timedelta(milliseconds=30))
    ops.metrics.attempt_ended(AttemptOutcome.FAILED, ErrorCode.TIMEOUT, timedelta(seconds=10))
    ops.metrics.attempt_ended(AttemptOutcome.INTERRUPTED, ErrorCode.INTERRUPTED, None)
    ops.metrics.delivery_succeeded(90)
    ops.metrics.delivery_failed(uuid4(), uuid4())
    ops.metrics.webhook_disabled(uuid4(), DisabledReason.GONE)
    ops.metrics.leases_reaped(7)
    ops.metrics.leases_released(2)
    ops.metrics.results_fenced(1)
    ops.metrics.background_task_failed("claim", StorageUnavailable("away"))
    counted = await samples(client)
    assert counted["notification_attempts_total", ("", "succeeded")] == 1
    assert counted["notification_attempts_total", ("timeout", "failed")] == 1
    assert counted["notification_attempts_total", ("interrupted", "interrupted")] == 1
    assert counted["notification_attempt_duration_seconds_count", ("failed",)] == 1
    assert counted["notification_attempt_duration_seconds_sum", ("failed",)] == pytest.approx(10)
    assert counted["notification_attempt_duration_seconds_bucket", ("0.05", "succeeded")] == 1
    assert counted["notification_delivery_duration_seconds_bucket", ("60.0",)] == 0
    assert counted["notification_delivery_duration_seconds_bucket", ("120.0",)] == 1
    assert counted["notification_deliveries_failed_total", ()] == 1
    assert counted["notification_webhooks_disabled_total", ("gone",)] == 1
    assert counted["notification_leases_reaped_total", ()] == 7
    assert counted["notification_leases_released_total", ()] == 2
    assert counted["notification_results_fenced_total", ()] == 1
    assert (
        counted["notification_background_task_errors_total", ("StorageUnavailable", "claim")] == 1
    )


async def test_reads_what_the_dispatcher_has_in_hand_when_asked(ops: Ops, client: Client) -> None:
    in_hand = [1, 2, 3]
    ops.metrics.observe_dispatcher(
        in_flight=lambda: len(in_hand), queued=lambda: 10 * len(in_hand), limit=9
    )
    assert (await samples(client))["notification_attempts_in_flight", ()] == 3
    in_hand.clear()
    counted = await samples(client)
    assert counted["notification_attempts_in_flight", ()] == 0
    assert counted["notification_attempts_in_flight_limit", ()] == 9
    assert counted["notification_deliveries_queued", ()] == 0


async def test_tells_how_large_the_batches_are(ops: Ops, client: Client) -> None:
    ops.metrics.events_ingested(Source.KAFKA, new=90, duplicates=10)
    ops.metrics.deliveries_claimed(7)
    ops.metrics.results_written(500)
    ops.metrics.results_written(1)
    counted = await samples(client)
    sizes = {
        operation: (
            counted["notification_db_batch_size_count", (operation,)],
            counted["notification_db_batch_size_sum", (operation,)],
        )
        for operation in ("ingest", "claim", "write_results")
    }
    assert sizes == {"ingest": (1, 100), "claim": (1, 7), "write_results": (2, 501)}


async def test_tells_what_the_time_of_attempts_goes_into(ops: Ops, client: Client) -> None:
    for phase in Phase:
        ops.metrics.phase_finished(phase, 0.002)
    counted = await samples(client)
    for name in ("dns", "connect", "tls", "first_byte"):
        assert counted["notification_attempt_phase_duration_seconds_count", (name,)] == 1
        assert counted["notification_attempt_phase_duration_seconds_bucket", ("0.0025", name)] == 1


async def test_tells_how_long_transactions_take_and_wait_for_connections(
    ops: Ops, client: Client
) -> None:
    ops.metrics.transaction_ended(0.002, 0.02)
    counted = await samples(client)
    assert counted["notification_db_connection_wait_seconds_bucket", ("0.0025",)] == 1
    assert counted["notification_db_transaction_duration_seconds_bucket", ("0.01",)] == 0
    assert counted["notification_db_transaction_duration_seconds_bucket", ("0.025",)] == 1


async def test_series_are_there_before_the_first_error(ops: Ops, client: Client) -> None:
    ops.metrics.api_routes([("GET", "/api/keys")])
    counted = await samples(client)
    for error in ErrorCode:
        outcome = "interrupted" if error is ErrorCode.INTERRUPTED else "failed"
        assert counted["notification_attempts_total", (error, outcome)] == 0
    for reason in DisabledReason:
        assert counted["notification_webhooks_disabled_total", (reason,)] == 0
    assert counted["notification_api_requests_total", ("500", "GET", "/api/keys")] == 0
    assert counted["notification_api_request_duration_seconds_count", ("GET", "/api/keys")] == 0


async def test_tells_which_parts_do_not_work(ops: Ops, client: Client) -> None:
    works = {"storage": True, "start": False}

    async def health() -> dict[str, bool]:
        return dict(works)

    ops.metrics.observe_health(health)
    counted = await samples(client)
    assert counted["notification_part_unavailable", ("storage",)] == 0
    assert counted["notification_part_unavailable", ("start",)] == 1
    del works["start"]
    assert ("notification_part_unavailable", ("start",)) not in await samples(client)


async def test_tells_how_many_transactions_are_open_of_how_many(ops: Ops, client: Client) -> None:
    ops.metrics.observe_transactions(lambda: 3, 10)
    counted = await samples(client)
    assert counted["notification_db_transactions_open", ()] == 3
    assert counted["notification_db_transactions_open_limit", ()] == 10


async def test_what_waits_is_asked_of_the_storage_and_omitted_if_it_is_not_known(
    ops: Ops, client: Client
) -> None:
    names = {"notification_deliveries_pending", "notification_oldest_due_delivery_age_seconds"}
    assert not names & {name for name, _ in await samples(client)}, "no storage is open yet"
    ops.metrics.observe_storage(_measured)
    ops.metrics.observe_webhooks(dict, lambda *_: False)
    counted = await samples(client)
    assert counted["notification_deliveries_pending", ("unclaimed",)] == 12
    assert counted["notification_deliveries_pending", ("claimed",)] == 3
    assert counted["notification_oldest_due_delivery_age_seconds", ()] == 90
    ops.metrics.observe_storage(_unmeasured)
    assert not names & {name for name, _ in await samples(client)}


async def test_the_age_of_what_is_due_leaves_out_webhooks_that_are_at_their_own_bound(
    ops: Ops, client: Client
) -> None:
    hanging, waiting = uuid4(), uuid4()

    async def measure() -> BacklogSize:
        due = {hanging: timedelta(hours=1), waiting: timedelta(seconds=2)}
        return BacklogSize(12, 3, 2, due, ())

    ops.metrics.observe_storage(measure)
    names = {name for name, _ in await samples(client)}
    assert "notification_oldest_due_delivery_age_seconds" not in names, (
        "who does not send does not know"
    )
    ops.metrics.observe_webhooks(dict, lambda webhook_id, _: webhook_id == hanging)
    assert (await samples(client))["notification_oldest_due_delivery_age_seconds", ()] == 2
    ops.metrics.observe_dispatcher(
        in_flight=int, queued=int, limit=1, oldest_waiting=lambda: timedelta(seconds=30)
    )
    counted = await samples(client)
    assert counted["notification_oldest_due_delivery_age_seconds", ()] == 30, "it is claimed"

    async def measure_nothing() -> BacklogSize:
        return BacklogSize(0, 0, 0, {}, ())

    ops.metrics.observe_storage(measure_nothing)
    counted = await samples(client)
    assert counted["notification_oldest_due_delivery_age_seconds", ()] == 30


async def test_counts_environments_that_are_reached_and_that_are_not(
    ops: Ops, client: Client
) -> None:
    ops.metrics.observe_webhooks(lambda: {True: 4, False: 1}, lambda *_: False)
    counted = await samples(client)
    assert counted["notification_environments_attempted", ("succeeded",)] == 4
    assert counted["notification_environments_attempted", ("failed",)] == 1


async def test_tells_how_long_first_attempts_waited(ops: Ops, client: Client) -> None:
    for seconds in (0.003, 90):
        ops.metrics.first_attempt_started(seconds)
    counted = await samples(client)
    assert counted["notification_first_attempt_delay_seconds_bucket", ("0.005",)] == 1
    assert counted["notification_first_attempt_delay_seconds_bucket", ("60.0",)] == 1
    assert counted["notification_first_attempt_delay_seconds_bucket", ("120.0",)] == 2


async def _measured() -> BacklogSize:
    return BacklogSize(12, 3, 2, {uuid4(): timedelta(seconds=90)}, ())


async def _unmeasured() -> BacklogSize:
    raise StorageUnavailable("the disk is gone")


async def test_counts_requests_and_says_what_is_built(ops: Ops, client: Client) -> None:
    route = "/api/webhooks/{webhook_id}"
    for status in (200, 200, 404):
        ops.metrics.api_request_finished("GET", route, status, 0.007)
    counted = await samples(client)
    assert counted["notification_api_requests_total", ("200", "GET", route)] == 2
    assert counted["notification_api_requests_total", ("404", "GET", route)] == 1
    duration = "notification_api_request_duration_seconds"
    assert counted[f"{duration}_count", ("GET", route)] == 3
    assert counted[f"{duration}_bucket", ("0.005", "GET", route)] == 0
    assert counted[f"{duration}_bucket", ("0.01", "GET", route)] == 3
    assert counted["notification_build_info", ("abc", "", "1.2.3")] == 1


async def test_two_processes_in_one_do_not_count_together(ops: Ops, client: Client) -> None:
    Metrics("1.2.3", "abc").leases_reaped(9)
    assert (await samples(client))["notification_leases_reaped_total", ()] == 0
    assert ops.metrics.rendered()


async def test_when_a_metric_was_created_is_not_told(client: Client) -> None:
    assert not [name for name, _ in await samples(client) if name.endswith("_created")]


async def test_other_paths_and_methods_are_refused_in_json(client: Client) -> None:
    status, body = await get(client, "/debug")
    assert (status, body["http_code"]) == (404, 404)
    assert "/healthz" in str(body["message"])
    async with client.post("/healthz", data=b"x") as response:
        assert response.status == 405
        assert response.headers["Allow"] == "GET,HEAD"
        assert (await response.json())["http_code"] == 405


async def test_a_failure_of_its_own_is_answered_counted_and_tells_nothing(
    ops: Ops, client: Client
) -> None:
    ops.metrics.observe_dispatcher(in_flight=lambda: 1 // 0, queued=lambda: 0, limit=1)
    with capture_logs() as logged:
        status, body = await get(client, "/metrics")
    assert status == 500
    assert body["message"] == "Something went wrong here: see the log."
    assert [line["path"] for line in logged] == ["/metrics"]
    ops.metrics.observe_dispatcher(in_flight=lambda: 0, queued=lambda: 0, limit=1)
    counted = await samples(client)
    assert counted["notification_background_task_errors_total", ("ZeroDivisionError", "ops")] == 1


async def test_answers_on_a_plain_server_of_its_own(ops: Ops) -> None:
    app = ops_app(ops.metrics, Readiness({"storage": works}), INFO, stopping=ops.stopping)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    async with (
        ClientSession() as session,
        session.get(f"http://127.0.0.1:{port}/readyz") as response,
    ):
        assert response.status == 200
    await runner.cleanup()
