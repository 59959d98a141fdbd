"""Traces through real processes: from a publisher, over storage and Kafka, to the receivers."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.faults.place import ServerPlace
from tests.faults.stage import TYPE, Api, Up, event_named, running, served_by
from tests.kafka.topics import Kafka
from tests.support.collector import CollectedSpan, Collector
from tests.support.receivers import ReceivedRequest, Receiver
from tests.support.waiting import until

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GIVEN = f"00-{TRACE}-{SPAN}-01"
OTHER_TRACE, OTHER_SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
OTHER = f"00-{OTHER_TRACE}-{OTHER_SPAN}-01"
ALONE = {"PROJECT_MANAGEMENT_API_URI": "", "WEBHOOKS_ALLOWED_NETWORKS": "127.0.0.0/8"}
RETRY_SOON = {"WEBHOOKS_RETRY_INTERVAL": "100ms"}
STEPS = [
    "event_received",
    "event_stored",
    "delivery_claimed",
    "attempt_started",
    "attempt_finished",
    "result_written",
]


async def publish(api: Api, body: object, **headers: str) -> None:
    url = f"{api.base}/environments/{api.environment}/events"
    sent = {"Content-Type": "application/json", **headers}
    async with api.session.post(url, data=json.dumps(body), headers=sent) as response:
        assert response.ok, await response.text()


def log_of(up: Up, event_id: str) -> Sequence[Mapping[str, object]]:
    """Return the lines of a log that name an event."""
    lines = [json.loads(line) for line in up.said().splitlines() if line.startswith("{")]
    return [line for line in lines if line.get("event_id") == event_id]


def place_of(span: CollectedSpan) -> str:
    return f"00-{span.trace_id}-{span.span_id}-01"


def ingested_by(collector: Collector) -> Mapping[object, CollectedSpan]:
    """Return the spans of ingest by the events that they name."""
    return {span.attributes["notification.event_id"]: span for span in collector.named("ingest")}


def traces_of(requests: Sequence[ReceivedRequest]) -> Mapping[object, str]:
    """Return the traces that a receiver was told, by the events' ids."""
    return {
        request.headers["webhook-id"].removeprefix("msg_"): request.headers["traceparent"][3:35]
        for request in requests
    }


async def test_a_trace_goes_from_the_publisher_to_the_receiver_of_each_attempt(
    tmp_path: Path,
) -> None:
    async with Collector() as collector, Receiver(503, 200) as receiver:
        async with running(tmp_path, **collector.settings, **RETRY_SOON) as (_, api):
            webhook_id = await api.subscribe(f"{receiver.url}secret/path?token=hidden")
            await publish(api, event_named("e-1"), traceparent=GIVEN, tracestate="vendor=1")
            requests = await receiver.wait_for(2)
            await collector.wait_for(publish=1, ingest=1, attempt=2)
        (published,), (ingested,) = collector.named("publish"), collector.named("ingest")
        attempts = collector.named("attempt")
        assert {span.trace_id for span in collector.spans} == {TRACE}
        assert (published.parent_id, ingested.parent_id) == (SPAN, published.span_id)
        assert {span.parent_id for span in attempts} == {SPAN}
        kinds = [span.kind for span in (published, ingested, *attempts)]
        assert kinds == ["SERVER", "INTERNAL", "CLIENT", "CLIENT"]
        # Each receiver goes on from the very attempt; nothing of a vendor's goes along.
        places = [each.headers["traceparent"][:53] for each in requests]
        assert places == [place_of(span)[:53] for span in attempts]
        assert not any("tracestate" in each.headers for each in requests)
        told = [span.attributes for span in attempts]
        assert [each["http.response.status_code"] for each in told] == [503, 200]
        assert [each["http.request.resend_count"] for each in told] == [0, 1]
        assert [span.has_failed for span in attempts] == [True, False]
        assert told[0]["error.type"] == "http_status"
        assert told[0]["server.port"] == receiver.port
        assert {each["notification.webhook_id"] for each in told} == {webhook_id}
        assert published.attributes["http.response.status_code"] == 202
        assert published.resource["service.name"] == "notification-management"
        assert "secret" not in str(collector.spans)
        assert "hidden" not in str(collector.spans)


async def test_without_a_publishers_trace_all_of_an_event_is_one_trace(tmp_path: Path) -> None:
    async with Collector() as collector, Receiver(503, 200) as receiver:
        async with running(tmp_path, **collector.settings, **RETRY_SOON) as (_, api):
            await api.subscribe(receiver.url)
            await publish(api, [event_named("a"), event_named("b")], traceparent="00-no-trace-01")
            await receiver.wait_for(3)
            await collector.wait_for(publish=1, ingest=1, attempt=3)
        (published,) = collector.named("publish")
        assert {span.trace_id for span in collector.spans} == {published.trace_id}
        assert published.parent_id == ""


async def test_each_cloud_event_of_a_batch_stays_in_its_own_trace(tmp_path: Path) -> None:
    async with Collector() as collector, Receiver() as receiver:
        async with running(tmp_path, **collector.settings) as (_, api):
            await api.subscribe(receiver.url)
            common = {"specversion": "1.0", "source": "/jobs", "type": TYPE, "data": {}}
            batch = [{**common, "id": "own", "traceparent": OTHER}, {**common, "id": "none"}]
            content_type = {"Content-Type": "application/cloudevents-batch+json"}
            await publish(api, batch, traceparent=GIVEN, **content_type)
            binary = {"specversion": "1.0", "source": "/jobs", "type": TYPE, "id": "binary"}
            names = {f"ce-{name}": value for name, value in binary.items()}
            await publish(api, {}, **names, **{"ce-traceparent": OTHER})
            requests = await receiver.wait_for(3)
            await collector.wait_for(publish=2, ingest=3, attempt=3)
        assert traces_of(requests) == {"own": OTHER_TRACE, "none": TRACE, "binary": OTHER_TRACE}
        own = ingested_by(collector)["own"]
        assert (own.trace_id, own.parent_id) == (OTHER_TRACE, OTHER_SPAN)


async def test_a_trace_goes_through_kafka(kafka: Kafka, tmp_path: Path) -> None:
    kafka.group = "notification-management"
    ours = {
        "KAFKA_BROKERS": kafka.brokers,
        "KAFKA_TOPIC_PREFIX": kafka.prefix,
        "KAFKA_CONSUMER_FETCH_BYTES": "1",
    }
    async with Collector() as collector, Receiver() as receiver:
        async with running(tmp_path, **collector.settings, **ours) as (_, api):
            await api.subscribe(receiver.url)
            fields = {"event": TYPE, "environment_id": api.environment, "data": {}}
            plain, untraced = ({**fields, "event_id": name} for name in ("plain", "untraced"))
            cloudy = {"specversion": "1.0", "id": "cloudy", "source": "/jobs", "type": TYPE}
            binary = [
                (f"ce_{name}", value.encode())
                for name, value in {**cloudy, "environmentid": api.environment}.items()
            ]
            header = ("traceparent", GIVEN.encode())
            await kafka.send("job-events", json.dumps(plain).encode(), headers=[header])
            await kafka.send("job-events", json.dumps(untraced).encode())
            extension = ("ce_traceparent", OTHER.encode())
            await kafka.send("job-events", b"{}", headers=[*binary, header, extension])
            requests = await receiver.wait_for(3)
            await collector.wait_for(ingest=3, attempt=3)
        ingested = ingested_by(collector)
        assert {span.kind for span in ingested.values()} == {"CONSUMER"}
        first, second = ingested["plain"], ingested["cloudy"]
        assert (first.trace_id, first.parent_id) == (TRACE, SPAN)
        assert (second.trace_id, second.parent_id) == (OTHER_TRACE, OTHER_SPAN)
        assert traces_of(requests) == {name: span.trace_id for name, span in ingested.items()}


async def test_an_event_is_followed_through_the_logs_of_two_processes(
    place: ServerPlace, tmp_path: Path
) -> None:
    """One process takes it in and another sends it: what the trace is, storage tells."""
    async with Collector() as collector, Receiver() as receiver:
        ours = {**collector.settings, "DEBUG": "true", **ALONE}
        takes_in = Up(tmp_path / "api", ours, command="api", place=place)
        sends = Up(tmp_path / "up", ours, place=place)
        async with served_by(sends), served_by(takes_in) as api:
            await api.subscribe(receiver.url)
            await publish(api, event_named("followed"), traceparent=GIVEN)
            (request,) = await receiver.wait_for(1)
            await collector.wait_for(publish=1, ingest=1, attempt=1)

            async def is_written() -> bool:
                return any(line["event"] == "result_written" for line in log_of(sends, "followed"))

            await until("the result is written", is_written)
        first, then = log_of(takes_in, "followed"), log_of(sends, "followed")
        assert [line["event"] for line in (*first, *then)] == STEPS
        assert {line["trace_id"] for line in (*first, *then)} == {TRACE}
        (attempt,) = collector.named("attempt")
        assert (attempt.trace_id, attempt.parent_id) == (TRACE, SPAN)
        assert request.headers["traceparent"][36:52] == attempt.span_id


@pytest.mark.parametrize("debug", [True, False])
async def test_without_tracing_an_event_is_followed_by_its_id_if_that_is_asked_for(
    tmp_path: Path, *, debug: bool
) -> None:
    async with Receiver(503, 200) as receiver:
        ours = {"DEBUG": str(debug).lower(), **RETRY_SOON}
        async with running(tmp_path, **ours) as (up, api):
            await api.subscribe(receiver.url)
            await publish(api, event_named("followed"), traceparent=GIVEN)
            requests = await receiver.wait_for(2)

            async def is_done() -> bool:
                return await up.is_done()

            await until("all is written", is_done)
            await up.terminate()
        assert not any("traceparent" in each.headers for each in requests)
        lines = log_of(up, "followed")
        attempts = [line["attempt"] for line in lines if line["event"] == "attempt_finished"]
        assert [line["event"] for line in lines] == [*STEPS, *STEPS[2:]] * debug
        assert attempts == [1, 2] * debug
        assert not any("trace_id" in line for line in lines)


async def test_an_unavailable_collector_delays_nothing(tmp_path: Path) -> None:
    async with Receiver() as receiver:
        endpoint = "http://127.0.0.1:9"
        nowhere = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_BSP_SCHEDULE_DELAY": "50"}
        async with running(tmp_path, **nowhere) as (up, api):
            await api.subscribe(receiver.url)
            for number in range(20):
                await publish(api, event_named(f"e-{number}"))
            await receiver.wait_for(20)
            assert await up.terminate(within=10) == 0
