"""What each variable changes, seen from outside: every one of them has a test, here or elsewhere.

Most need no process: the library on a storage in memory, a clock that does not move and a sender
that sends nothing shows what a user of it would see.
"""

import asyncio
import json
import re
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestClient, TestServer
from attrs import frozen

from notification_adapters.kafka.config import SaslCredentials, Start
from notification_adapters.memory import ManualClock, MemoryStorage, ScriptedSender, memory_storage
from notification_adapters.memory.sender import Hang
from notification_core.errors import (
    EnvironmentNotFound,
    EventNotFound,
    InvalidEvent,
    InvalidInput,
    NotificationError,
    TooManyWebhooks,
    UnwrappingRefused,
)
from notification_core.model.read_models import WebhookView
from notification_core.model.webhook import DisabledReason, Webhook
from notification_entrypoints.bootstrap.kafka import brokers_of, consumer_config
from notification_entrypoints.config.settings import load_settings, variables
from notification_entrypoints.config.wrapped_secrets import unwrap_secrets
from notification_entrypoints.embedded import (
    AdapterOverrides,
    Notifications,
    WebhookDraft,
    open_notifications,
    settings,
)
from notification_entrypoints.observability.metrics import Metrics
from notification_entrypoints.ops.server import Readiness, ops_app
from notification_entrypoints.process.runtime import info_of, ops_bind, ops_runner
from notification_entrypoints.serving.http_server import PortUnavailable, listen_on
from tests.support.certificates import Authority
from tests.support.issuers import AUDIENCE, EC_KEY, ISSUER, RSA_KEY, issuer, published, token
from tests.support.receivers import LOOPBACK, Receiver
from tests.support.vault_server import TOKEN, VaultServer
from tests.support.waiting import advance_until

SECRET = {"DB_ENCRYPTION_SECRET": "0123456789abcdef0123456789abcdef"}
ENVIRONMENT = UUID("0b6f2e0c-5d0c-4d7e-8a57-2f7a3f0f6f10")
URL = "https://receiver.example.com/"
WEBHOOKS = f"/environments/{ENVIRONMENT}/webhooks"
EVENTS = f"/environments/{ENVIRONMENT}/events"
SIGNATURE = "WEBHOOKS_PUBLIC_VERIFICATION_KEY_SIGNATURE_HEADER"
TIMESTAMP = "WEBHOOKS_PUBLIC_VERIFICATION_KEY_SIGNATURE_TIMESTAMP_HEADER"
TESTS: Final = Path(__file__).parents[2]

ELSEWHERE: Final[Mapping[str, str]] = {
    "API_SERVER_HOST": "e2e/test_access.py::test_an_api_that_all_could_call_is_not_started",
    "API_SERVER_MAX_CONNECTIONS": "e2e/test_resources.py::test_idle_connections_make_room",
    "API_SERVER_PORT": "faults/test_stops.py::test_what_keeps_it_from_starting_is_said",
    "CONSOLE_ENABLED": "entrypoints/console/test_console.py::test_it_can_be_turned_off",
    "CONSOLE_ORIGIN": "entrypoints/console/test_portal.py::test_the_link_is_at_the_origin",
    "CONSOLE_SESSION_LIFETIME": "entrypoints/console/test_sign_in.py::test_the_cookie_is_for_this",
    "CONSOLE_FRAME_ANCESTORS": "entrypoints/console/test_portal.py::test_a_page_is_framed_by_those",
    **dict.fromkeys(
        ("CONSOLE_NAME", "CONSOLE_LOGO_FILE", "CONSOLE_ACCENT_COLOR"),
        "entrypoints/console/test_theme.py::test_pages_show_the_name_the_picture_and_the_colour",
    ),
    "DEBUG": "entrypoints/ops/test_debug.py::test_is_not_there_unless_asked_for",
    "OTEL_SDK_DISABLED": "entrypoints/bootstrap/test_tracer.py::test_it_is_on",
    "OTEL_TRACES_EXPORTER": "entrypoints/bootstrap/test_tracer.py::test_it_is_on",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "entrypoints/bootstrap/test_tracer.py::test_it_is_on",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "entrypoints/bootstrap/test_tracer.py::test_it_is_on",
    "OTEL_EXPORTER_OTLP_PROTOCOL": "entrypoints/bootstrap/test_tracer.py::test_an_exporter",
    "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "entrypoints/bootstrap/test_tracer.py::test_an_exporter",
    "STARTUP_TIMEOUT": "e2e/test_starts.py::test_a_start_waits_for_a_database_that_is_unreachable",
    "SHUTDOWN_DELAY": "e2e/test_stops.py::test_during_the_delay_it_accepts_requests_and_is_unready",
    "DB_URI": "entrypoints/bootstrap/test_storage.py::test_what_a_uri_does_not_say_comes_from",
    "DB_AUTH_USER": "entrypoints/bootstrap/test_storage.py::test_a_server_is_reached_as_the",
    "DB_AUTH_PASS": "entrypoints/bootstrap/test_storage.py::test_a_server_is_reached_as_the",
    "DB_DATABASE": "entrypoints/bootstrap/test_storage.py::test_what_a_uri_does_not_say_comes_from",
    "DB_SCHEMA": "entrypoints/test_embedded.py::test_what_is_published_arrives_and_is_in_the_log",
    "DB_DIRECT_URI": "entrypoints/bootstrap/test_storage.py::test_a_server_is_reached_as_the",
    "DB_PREPARED_STATEMENTS": "entrypoints/bootstrap/test_storage.py::test_a_server_is_reached_as",
    "DB_POOL_SIZE": "entrypoints/bootstrap/test_storage.py::test_a_server_is_reached_as_the",
    "DB_ENCRYPTION_SECRET": "e2e/test_workers.py::test_what_keeps_all_of_them_from_starting",
    "DB_ENCRYPTION_PREVIOUS_SECRETS": "faults/test_rekeying.py::test_killed_midway_it_goes_on",
    **dict.fromkeys(
        ("DB_ENCRYPTION_VAULT_URI", "DB_ENCRYPTION_VAULT_TOKEN"),
        "entrypoints/config/test_wrapped_secrets.py::test_a_wrapped_secret_opens_what_the_same",
    ),
    "KAFKA_BROKERS": "e2e/test_kafka.py::test_an_event_from_kafka_is_delivered_signed",
    "KAFKA_TOPIC_PREFIX": "e2e/test_kafka.py::test_an_event_from_kafka_is_delivered_signed",
    "KAFKA_CONSUMER_FETCH_BYTES": "e2e/test_kafka.py::test_a_single_message_waits_for_others",
    "KAFKA_CONSUMER_FETCH_FREQUENCY": "e2e/test_kafka.py::test_a_single_message_waits_for_others",
    "KAFKA_TOPIC_REPLICATION_FACTOR": "adapters/kafka/test_topics.py::test_too_high_a_replication",
    "KAFKA_SECURITY_PROTOCOL": "e2e/test_kafka.py::test_a_broker_that_asks_for_a_password",
    "KAFKA_SASL_MECHANISM": "e2e/test_kafka.py::test_a_broker_that_asks_for_a_password",
    "KAFKA_SASL_USERNAME": "e2e/test_kafka.py::test_a_broker_that_asks_for_a_password",
    "KAFKA_SASL_PASSWORD": "e2e/test_kafka.py::test_a_broker_that_asks_for_a_password",
    "KAFKA_SSL_CA_LOCATION": "e2e/test_kafka.py::test_a_broker_that_asks_for_a_password",
    "WEBHOOKS_RETRY_AFTER_MAX": "e2e/test_events.py::test_a_receiver_may_ask_for_time_up_to",
    "WEBHOOKS_POLL_INTERVAL": "e2e/test_api_process.py::test_beside_an_up_on_one_file",
    "WEBHOOKS_MAX_PENDING_PER_WEBHOOK": "faults/test_full_queue.py::test_what_comes_for_a_full",
    "WEBHOOKS_SENDER": "entrypoints/bootstrap/test_http_sender.py::test_the_setting_chooses_the",
    "WEBHOOKS_CA_FILE": "entrypoints/bootstrap/test_http_sender.py::test_receivers_are_trusted",
    "WEBHOOKS_EGRESS_PROXY": "entrypoints/bootstrap/test_http_sender.py::test_requests_leave",
}
"""Tests that start what these variables are about, by how their names begin."""

_HERE: set[str] = set()

Test = Callable[..., Coroutine[Any, Any, None]]


def shows(*names: str) -> Callable[[Test], Test]:
    """Say of which variables a test sees the effect."""

    def noted(test: Test) -> Test:
        _HERE.update(names)
        return test

    return noted


def test_of_every_variable_a_test_sees_the_effect() -> None:
    assert _HERE | ELSEWHERE.keys() == variables().keys()
    assert not _HERE & ELSEWHERE.keys()


@pytest.mark.parametrize("name", ELSEWHERE)
def test_the_tests_that_are_elsewhere_are_there(name: str) -> None:
    file, _, test = ELSEWHERE[name].partition("::")
    text = (TESTS / file).read_text()
    assert re.search(rf"^(async )?def {test}", text, re.MULTILINE)
    assert name in text


@frozen
class Product:
    """The library as the variables set it up, over a storage in memory and a scripted sender."""

    notifications: Notifications
    storage: MemoryStorage
    sender: ScriptedSender
    clock: ManualClock

    async def webhook(self, url: str = URL) -> Webhook:
        draft = WebhookDraft(name="w", url=url, events=["job-completed"])
        return await self.notifications.webhooks.create(ENVIRONMENT, draft)

    async def publish(self, count: int = 1) -> str:
        """Publish events; return the id of the last."""
        made = [
            self.notifications.event(ENVIRONMENT, "job-completed", {}, event_id=str(uuid4()))
            for _ in range(count)
        ]
        await self.notifications.publish(made)
        return made[-1].event_id

    async def until(self, condition: Callable[[], object], within: float = 0) -> None:
        await advance_until(condition, self.clock, within=within)

    async def drain(self) -> None:
        """Return once nothing is being sent or written."""
        dispatcher = self.notifications._application.dispatcher  # noqa: SLF001 - the test's own look inside
        assert dispatcher
        await self.until(lambda: dispatcher.runner.idle)


@asynccontextmanager
async def configured(**chosen: str) -> AsyncIterator[Product]:
    """Open the library with these variables."""
    # The time of day: tokens are validated by it.
    clock, sender = ManualClock(datetime.now(UTC)), ScriptedSender()
    loaded = settings(**SECRET, **chosen)
    operational = loaded.operational_webhook_environment
    storage = memory_storage(clock, operational_environment=operational)
    given = AdapterOverrides(clock=clock, storage=storage, sender=sender)
    async with open_notifications(loaded, given) as notifications:
        yield Product(notifications, storage, sender, clock)


Client = TestClient[web.Request, web.Application]


@asynccontextmanager
async def api(**chosen: str) -> AsyncIterator[tuple[Product, Client]]:
    """Serve the API as these variables set it up; authentication is disabled unless they say so."""
    async with (
        configured(**{"API_AUTH": "none"} | chosen) as product,
        TestClient(TestServer(product.notifications.api())) as client,
    ):
        yield product, client


async def status(client: Client, path: str = WEBHOOKS, **headers: str) -> int:
    async with client.get(path, headers=headers) as response:
        return response.status


# Which events there are.


@shows("EVENT_CATALOGUE")
async def test_the_event_types_are_those_of_the_catalogue(tmp_path: Path) -> None:
    content = {"application/json": {"schema": {"type": "object"}, "example": {"total": 1}}}
    post = {"summary": "Placed", "requestBody": {"content": content}}
    document = {"openapi": "3.1.0", "webhooks": {"order-placed": {"post": post}}}
    file = tmp_path / "shop.json"
    file.write_text(json.dumps(document))
    async with api(EVENT_CATALOGUE=str(file)) as (product, client):
        async with client.get("/webhooks/events") as response:
            assert [event_type["name"] for event_type in await response.json()] == ["order-placed"]
        draft = WebhookDraft(name="w", url=URL, events=["order-placed"])
        webhook = await product.notifications.webhooks.create(ENVIRONMENT, draft)
        await product.notifications.webhook_tester.send(ENVIRONMENT, webhook.webhook_id)
        published = {"event": "order-placed", "data": {"total": 2}}
        path = f"/environments/{ENVIRONMENT}/events"
        async with client.post(path, json=published) as response:
            assert response.status == 202
        with pytest.raises(InvalidEvent, match="the types are order-placed"):
            await product.publish()
        await product.drain()
        sent = [json.loads(request.body or b"") for request in product.sender.requests]
        assert [(body["type"], body["data"]) for body in sent] == [
            ("order-placed", {"total": 1}),
            ("order-placed", {"total": 2}),
        ]


@shows("EVENT_VALIDATION")
@pytest.mark.parametrize("several", [False, True])
async def test_data_that_does_not_fit_is_counted_or_rejected(*, several: bool) -> None:
    fields = ENVIRONMENT, "job-completed", {"status": "lost"}
    async with configured(EVENT_VALIDATION="count") as product:
        await product.notifications.publish([product.notifications.event(*fields)])
        counted = product.notifications.metrics.rendered().decode()
        assert 'mismatches_total{event_type="job-completed"} 1.0' in counted
    async with configured(EVENT_VALIDATION="reject") as product:
        events = [product.notifications.event(*fields) for _ in range(2 if several else 1)]
        with pytest.raises(InvalidEvent) as refused:
            await product.notifications.publish(events)
        prefix = "[0]." if several else ""
        assert f"{prefix}data.status" in [detail.field for detail in refused.value.details]
        assert not product.storage.state.events


# How often, how long and how many at once.


@shows("WEBHOOKS_MAX_RETRIES")
async def test_a_delivery_is_retried_so_often() -> None:
    async with configured(WEBHOOKS_MAX_RETRIES="1") as product:
        await product.webhook()
        product.sender.respond(URL, 500)
        await product.publish()
        await product.clock.advance(10)
        assert len(product.sender.requests) == 2


@shows("WEBHOOKS_RETRY_INTERVAL", "WEBHOOKS_RETRY_BACKOFF")
async def test_the_next_attempt_comes_after_the_interval_and_later_ones_after_more() -> None:
    chosen = {"WEBHOOKS_RETRY_INTERVAL": "5s", "WEBHOOKS_RETRY_BACKOFF": "3"}
    async with configured(**chosen, WEBHOOKS_MAX_RETRIES="2") as product:
        await product.webhook()
        product.sender.respond(URL, 500)
        await product.publish()
        made: list[float] = []
        while len(made) < 3:
            made += [product.clock.monotonic()] * (len(product.sender.requests) - len(made))
            await product.drain()
            await product.clock.advance(0.5)
            assert product.clock.monotonic() < 60
        # A fifth of it is chance, and it may be found by the next poll only.
        assert 5 <= made[1] - made[0] <= 5 * 1.2 + 2
        assert 15 <= made[2] - made[1] <= 15 * 1.2 + 2


@shows("WEBHOOKS_WRITE_TIMEOUT")
async def test_an_attempt_takes_no_longer_than_it_may() -> None:
    async with configured(WEBHOOKS_WRITE_TIMEOUT="20ms") as product:
        webhook = await product.webhook()
        product.sender.respond(URL, Hang.HANG)
        tried = await product.notifications.webhook_tester.send(ENVIRONMENT, webhook.webhook_id)
        assert tried.error is not None
        assert tried.error.code == "timeout"


@shows("WEBHOOKS_LEASE")
async def test_a_delivery_is_held_for_so_long() -> None:
    async with configured(WEBHOOKS_LEASE="77s") as product:
        await product.webhook()
        product.sender.respond(URL, Hang.HANG)
        await product.publish()
        (delivery,) = product.storage.state.deliveries.values()
        assert delivery.leased_until == product.clock.now() + timedelta(seconds=77)
        product.sender.release(URL)


@shows("WEBHOOKS_MAX_IN_FLIGHT")
async def test_so_many_attempts_are_made_at_once() -> None:
    async with configured(WEBHOOKS_MAX_IN_FLIGHT="6") as product:
        urls = [f"{URL}{number}" for number in range(9)]
        for url in urls:
            await product.webhook(url)
            product.sender.respond(url, Hang.HANG)
        await product.publish()
        await product.clock.advance(2)
        assert 3 <= product.sender.in_flight <= 6, "half of it is kept for webhooks that answer"
        for url in urls:
            product.sender.respond(url, 200)
            product.sender.release(url)


@shows("WEBHOOKS_MAX_IN_FLIGHT_PER_WEBHOOK")
async def test_so_many_attempts_of_one_webhook_are_made_at_once() -> None:
    async with configured(WEBHOOKS_MAX_IN_FLIGHT_PER_WEBHOOK="3") as product:
        await product.webhook()
        product.sender.respond(URL, Hang.HANG)
        await product.publish(10)
        await product.until(lambda: product.sender.in_flight == 3)
        await product.clock.advance(2)
        assert product.sender.in_flight == 3
        product.sender.respond(URL, 200)
        product.sender.release(URL)


@shows("WEBHOOKS_BREAKER_FAILURES", "WEBHOOKS_BREAKER_PAUSE", "WEBHOOKS_BREAKER_MAX_PAUSE")
async def test_a_webhook_that_keeps_failing_is_tried_after_longer_and_longer_pauses() -> None:
    chosen = {"WEBHOOKS_BREAKER_FAILURES": "4", "WEBHOOKS_BREAKER_PAUSE": "40s"}
    async with configured(**chosen, WEBHOOKS_BREAKER_MAX_PAUSE="60s") as product:
        await product.webhook()
        product.sender.respond(URL, 500)
        await product.publish(4)
        await product.drain()
        requests = 4
        for pause in (40, 60, 60):
            await product.clock.advance(pause - 5)
            assert len(product.sender.requests) == requests
            await product.clock.advance(5)
            requests += 1
            assert len(product.sender.requests) == requests
    async with configured(WEBHOOKS_BREAKER_FAILURES="0") as product:
        await product.webhook()
        product.sender.respond(URL, 500)
        await product.publish(20)
        await product.clock.advance(10)
        assert len(product.sender.requests) == 80


@shows("WEBHOOKS_BREAKER_HOLD")
async def test_a_delivery_waits_no_longer_for_a_paused_webhook_than_it_may() -> None:
    async with configured(WEBHOOKS_BREAKER_HOLD="100s", WEBHOOKS_MAX_RETRIES="0") as product:
        await product.webhook()
        product.sender.respond(URL, 500)
        await product.publish()
        await product.drain()
        (delivery,) = product.storage.state.deliveries.values()
        await product.clock.advance(60)
        assert delivery.state == "pending"
        await product.clock.advance(120)
        await product.drain()
        assert (delivery.state, delivery.reason) == ("failed", "webhook_paused")


@shows("OPERATIONAL_WEBHOOK_ENVIRONMENT")
async def test_webhooks_of_one_environment_are_sent_operational_events() -> None:
    alerts, told = "https://alerts.example.com/", ["webhook-delivery-failed"]
    draft = WebhookDraft(name="alerts", url=alerts, events=told)
    operational = uuid4()
    chosen = {"WEBHOOKS_MAX_RETRIES": "0", "WEBHOOKS_BREAKER_FAILURES": "0"}
    async with configured(OPERATIONAL_WEBHOOK_ENVIRONMENT=str(operational), **chosen) as product:
        await product.notifications.webhooks.create(operational, draft)
        with pytest.raises(InvalidInput, match="refused"):
            await product.notifications.webhooks.create(ENVIRONMENT, draft)
        await product.webhook()
        product.sender.respond(URL, 500)
        await product.publish()
        await product.clock.advance(3)
        await product.drain()
        (request,) = [one for one in product.sender.requests if one.url == alerts]
    assert json.loads(request.body)["data"]["environment_id"] == str(ENVIRONMENT)
    async with configured(**chosen) as product:
        with pytest.raises(InvalidInput, match="refused"):
            await product.notifications.webhooks.create(operational, draft)


@shows("WEBHOOKS_DISABLE_AFTER")
async def test_a_webhook_that_has_only_failed_for_so_long_is_disabled() -> None:
    async with configured(WEBHOOKS_DISABLE_AFTER="10s", WEBHOOKS_MAX_RETRIES="0") as product:
        webhook = await product.webhook()
        product.sender.respond(URL, 500)
        for pause in (55, 10):  # it is looked at once a minute
            await product.publish()
            await product.drain()
            await product.clock.advance(pause)
        found = await product.notifications.webhooks.get(ENVIRONMENT, webhook.webhook_id)
        assert found.disabled_reason is DisabledReason.FAILING


@shows("WEBHOOKS_MAX_PER_ENVIRONMENT")
async def test_an_environment_has_no_more_webhooks_than_it_may() -> None:
    async with configured(WEBHOOKS_MAX_PER_ENVIRONMENT="1") as product:
        await product.webhook()
        with pytest.raises(TooManyWebhooks):
            await product.webhook()


@shows("RETENTION_LOGS", "RETENTION_EVENTS")
async def test_logs_and_events_are_kept_for_so_long() -> None:
    async with configured(RETENTION_LOGS="30s", RETENTION_EVENTS="200s") as product:
        webhook = await product.webhook()
        event_id = await product.publish()
        await product.drain()
        logs, history = product.notifications.logs, product.notifications.history
        assert (await logs.page(ENVIRONMENT, webhook.webhook_id, 10)).rows
        await product.clock.advance(100)
        assert not (await logs.page(ENVIRONMENT, webhook.webhook_id, 10)).rows
        assert (await history.event(ENVIRONMENT, event_id)).event_type == "job-completed"
        await product.clock.advance(200)
        with pytest.raises(EventNotFound):
            await history.event(ENVIRONMENT, event_id)


@shows("RETENTION_STATS")
async def test_statistics_are_kept_for_so_long() -> None:
    async with configured(RETENTION_STATS="5m") as product:
        await product.webhook()
        await product.publish()
        await product.drain()
        assert product.storage.state.statistics
        await product.clock.advance(150)
        assert product.storage.state.statistics
        await product.clock.advance(300)
        assert not product.storage.state.statistics


# How requests are signed, and where they may go.


@shows("WEBHOOKS_STANDARD_SIGNATURE", SIGNATURE, TIMESTAMP)
async def test_requests_have_the_signatures_that_are_asked_for_in_the_headers_that_are() -> None:
    chosen = {"WEBHOOKS_STANDARD_SIGNATURE": "false", SIGNATURE: "X-Ours", TIMESTAMP: "X-When"}
    async with configured(**chosen) as product:
        await product.webhook()
        await product.publish()
        await product.until(lambda: product.sender.requests)
        names = {name for name, _ in product.sender.requests[0].headers}
        assert {"X-Ours", "X-Ours-Key-Id", "X-When"} <= names
        assert "webhook-signature" not in names


@pytest.mark.parametrize(
    ("name", "value", "url"),
    [
        ("WEBHOOKS_ALLOWED_NETWORKS", "10.0.0.0/8", "http://10.1.2.3:8080/"),
        ("WEBHOOKS_ALLOWED_HOSTS", "*.corp", "http://receiver.corp/"),
    ],
)
@shows("WEBHOOKS_ALLOWED_NETWORKS", "WEBHOOKS_ALLOWED_HOSTS")
async def test_webhooks_go_where_they_may_go_only_because_it_is_said(
    name: str, value: str, url: str
) -> None:
    async with configured() as product:
        with pytest.raises(InvalidInput):
            await product.webhook(url)
    async with configured(**{name: value}) as product:
        assert (await product.webhook(url)).url == url


@shows("WEBHOOKS_NAT64_PREFIXES")
async def test_an_internal_address_inside_a_nat64_prefix_is_refused() -> None:
    url = "http://[2a00:64::7f00:1]/"
    async with configured() as product:
        assert (await product.webhook(url)).url == url
    async with configured(WEBHOOKS_NAT64_PREFIXES="2a00:64::/96") as product:
        with pytest.raises(InvalidInput):
            await product.webhook(url)


@shows("WEBHOOKS_REQUIRE_HTTPS")
async def test_plain_http_is_refused_if_that_is_set() -> None:
    async with configured(WEBHOOKS_REQUIRE_HTTPS="true") as product:
        with pytest.raises(InvalidInput):
            await product.webhook("http://receiver.example.com/")
        assert (await product.webhook(URL)).url == URL


# Who may call, and how they are answered.


@shows("API_AUTH", "API_BOOTSTRAP_KEY")
async def test_callers_need_a_key_and_the_first_one_is_given() -> None:
    key = "b" * 32
    async with api(API_AUTH="api_key", API_BOOTSTRAP_KEY=key) as (_, client):
        assert await status(client) == HTTPStatus.UNAUTHORIZED
        assert await status(client, Authorization=f"Bearer {key}") == HTTPStatus.OK


TOKENS = {"API_AUTH": "jwt", "API_JWT_ISSUER": ISSUER, "API_JWT_AUDIENCE": AUDIENCE}


@pytest.mark.parametrize(
    ("chosen", "good"),
    [
        ({}, True),
        ({"API_JWT_ISSUER": "https://another.example.com/"}, False),
        ({"API_JWT_AUDIENCE": "another"}, False),
        ({"API_JWT_ALGORITHMS": "ES256"}, False),
        ({"API_JWT_SCOPE_CLAIM": "roles"}, False),
        ({"API_JWT_ENVIRONMENTS_CLAIM": "tenants"}, False),
    ],
)
@shows("API_JWT_ISSUER", "API_JWT_AUDIENCE", "API_JWT_ALGORITHMS")
@shows("API_JWT_SCOPE_CLAIM", "API_JWT_ENVIRONMENTS_CLAIM")
async def test_a_token_opens_only_what_it_is_for(chosen: dict[str, str], *, good: bool) -> None:
    async with (
        issuer(published(RSA_KEY, "rsa")) as running,
        api(**TOKENS | {"API_JWT_JWKS_URL": running.url} | chosen) as (_, client),
    ):
        bearer = {"Authorization": f"Bearer {token()}"}
        assert (await status(client, **bearer) == HTTPStatus.OK) is good


@shows("API_JWT_JWKS_URL")
async def test_tokens_are_validated_by_the_keys_of_the_configured_url() -> None:
    async with issuer(published(EC_KEY, "rsa")) as another:
        async with api(**TOKENS, API_JWT_JWKS_URL=another.url) as (_, client):
            bearer = {"Authorization": f"Bearer {token()}"}
            assert await status(client, **bearer) == HTTPStatus.UNAUTHORIZED
        assert another.asked


@shows("API_RATE_LIMIT")
async def test_a_caller_makes_no_more_requests_a_second_than_it_may() -> None:
    async with api(API_RATE_LIMIT="2") as (_, client):
        responses = [await status(client) for _ in range(10)]
        assert HTTPStatus.TOO_MANY_REQUESTS in responses


@shows("API_SERVER_MAX_BUFFERED")
async def test_bodies_that_arrive_at_the_same_time_have_a_bound_together() -> None:
    most = 16 * 1024 * 1024
    arrived = asyncio.Event()

    async def unfinished() -> AsyncIterator[bytes]:
        for _ in range(9):
            yield b" " * (1024 * 1024)
        await arrived.wait()

    async def publish(client: TestClient[web.Request, web.Application]) -> int:
        headers = {"Content-Type": "application/json"}
        async with client.post(EVENTS, data=unfinished(), headers=headers) as response:
            if response.status == HTTPStatus.SERVICE_UNAVAILABLE:
                assert response.headers["Retry-After"]
            arrived.set()
            return response.status

    async with api(API_SERVER_MAX_BUFFERED=str(most)) as (_, client):
        statuses = await asyncio.gather(publish(client), publish(client))
        assert sorted(statuses) == [HTTPStatus.BAD_REQUEST, HTTPStatus.SERVICE_UNAVAILABLE]


@shows("API_TRUSTED_PROXIES")
async def test_a_proxy_is_believed_where_that_is_said() -> None:
    for trusted in ("", "127.0.0.0/8"):
        async with (
            api(API_TRUSTED_PROXIES=trusted) as (_, client),
            client.get(WEBHOOKS, headers={"X-Forwarded-Proto": "https"}) as response,
        ):
            assert ("Strict-Transport-Security" in response.headers) is bool(trusted)


@shows("API_CORS_ORIGINS")
async def test_pages_that_are_named_may_call() -> None:
    page = "https://console.example.com"
    for origins in ("", page):
        async with (
            api(API_CORS_ORIGINS=origins) as (_, client),
            client.get(WEBHOOKS, headers={"Origin": page}) as response,
        ):
            assert ("Access-Control-Allow-Origin" in response.headers) is bool(origins)


@shows("API_SERVER_READ_TIMEOUT")
async def test_a_request_is_waited_for_only_so_long() -> None:
    async with api(API_SERVER_READ_TIMEOUT="50ms") as (_, client):
        reader, writer = await asyncio.open_connection(client.host, client.port)
        head = f"POST {EVENTS} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
        writer.write(f"{head}Content-Length: 100\r\n\r\n{{".encode())
        assert (await reader.readline()).split()[1] == b"408"
        writer.close()


@shows("API_SERVER_WRITE_TIMEOUT")
async def test_a_response_takes_no_longer_than_it_may() -> None:
    async with api(API_SERVER_WRITE_TIMEOUT="1ms") as (product, client):
        release = asyncio.Event()

        async def never(*_: object, **__: object) -> list[WebhookView]:
            await release.wait()
            return []

        product.storage.logs.webhooks = never  # type: ignore[method-assign] # a storage that hangs
        assert await status(client) == HTTPStatus.SERVICE_UNAVAILABLE
        release.set()


@shows("RETENTION_AUDIT")
async def test_who_changed_what_is_kept_for_so_long() -> None:
    async with api(RETENTION_AUDIT="30s") as (product, client):
        draft = {"name": "w", "url": URL, "events": ["job-completed"]}
        async with client.post(WEBHOOKS, json=draft) as response:
            assert response.status == HTTPStatus.CREATED
        audit = f"/environments/{ENVIRONMENT}/audit"
        assert await entries(client, audit) == 1
        await product.clock.advance(100)
        assert await entries(client, audit) == 0


async def entries(client: Client, path: str) -> int:
    async with client.get(path) as response:
        return len(await response.json())


@shows("PROJECT_MANAGEMENT_API_URI")
async def test_who_knows_the_environments_is_asked() -> None:
    async def knows_none(_: web.Request) -> web.Response:
        return web.Response(status=404)

    app = web.Application()
    app.router.add_get("/environments/{id}", knows_none)
    async with TestServer(app) as server:
        uri = str(server.make_url("/")).rstrip("/")
        async with configured(PROJECT_MANAGEMENT_API_URI=uri) as product:
            with pytest.raises(EnvironmentNotFound):
                await product.webhook()


@shows("TZ")
async def test_dates_without_an_offset_are_of_the_zone() -> None:
    async with configured(TZ="Asia/Tokyo") as product:
        naive = datetime(2026, 3, 1, 9, 30)  # noqa: DTZ001 - it is the one that is tested
        event = product.notifications.event(ENVIRONMENT, "job-completed", {}, occurred_at=naive)
        assert event.occurred_at == datetime(2026, 3, 1, 0, 30, tzinfo=UTC)


@shows("DB_ENCRYPTION_VAULT_KEY", "DB_ENCRYPTION_VAULT_CA_FILE")
async def test_vault_is_asked_by_the_name_of_the_key_and_only_if_it_is_trusted(
    tmp_path: Path,
) -> None:
    authority = Authority(tmp_path)
    (tmp_path / "authority.pem").write_text(authority.certificate)
    async with Receiver(ssl_context=authority.server("localhost")) as receiver:
        vault = VaultServer(receiver)
        receiver.respond(vault.respond)
        chosen = {
            "DB_ENCRYPTION_SECRET": vault.wrap("s" * 32),
            "DB_ENCRYPTION_VAULT_URI": f"https://localhost:{receiver.port}/v1/transit",
            "DB_ENCRYPTION_VAULT_TOKEN": TOKEN,
            "DB_ENCRYPTION_VAULT_CA_FILE": str(tmp_path / "authority.pem"),
        }
        assert (await unwrap_secrets(load_settings(chosen))).db.encryption_secret == "s" * 32
        with pytest.raises(UnwrappingRefused):
            await unwrap_secrets(load_settings(chosen | {"DB_ENCRYPTION_VAULT_KEY": "another"}))
        del chosen["DB_ENCRYPTION_VAULT_CA_FILE"]
        with pytest.raises(NotificationError, match=r"(?i)tls|certificate|trust"):
            await unwrap_secrets(load_settings(chosen))


# The ops server, and Kafka's client.


@asynccontextmanager
async def ops(**chosen: str) -> AsyncIterator[str]:
    """Serve the ops server as these variables set it up; gives its URL."""
    loaded = load_settings({**SECRET, "OPS_SERVER_PORT": "0", **chosen})
    write = loaded.ops.server_write_timeout
    parts = Readiness({"storage": asyncio.Event().wait})  # type: ignore[dict-item] # it never returns
    app = ops_app(
        Metrics("1", ""), parts, info_of(loaded), stopping=asyncio.Event(), write_timeout=write
    )
    async with listen_on(ops_runner(app, loaded), ops_bind(loaded)) as url:
        yield url
    await parts.close()


@shows("POD_IP", "POD_NAME", "ENV", "OPS_SERVER_HOST")
async def test_a_process_says_who_and_where_it_is_and_listens_there() -> None:
    async with ops(POD_IP="127.0.0.2", POD_NAME="pod-7", ENV="staging") as url:
        assert url.startswith("http://127.0.0.2:")
        async with ClientSession() as session, session.get(f"{url}/info") as response:
            told = await response.json()
    assert (told["pod_ip"], told["pod_name"], told["env"]) == ("127.0.0.2", "pod-7", "staging")
    async with ops(POD_IP="127.0.0.2", OPS_SERVER_HOST="127.0.0.3") as url:
        assert url.startswith("http://127.0.0.3:")


@shows("OPS_SERVER_PORT")
async def test_the_ops_server_listens_on_its_port() -> None:
    with socket.create_server((LOOPBACK, 0)) as taken:
        port = str(taken.getsockname()[1])
        with pytest.raises(PortUnavailable, match=f"{port} is in use.*OPS_SERVER_PORT"):
            async with ops(OPS_SERVER_PORT=port):
                pass


@shows("OPS_SERVER_READ_TIMEOUT")
async def test_the_ops_server_waits_for_a_request_only_so_long() -> None:
    async with ops(OPS_SERVER_READ_TIMEOUT="50ms") as url:
        host, _, port = url.removeprefix("http://").partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET /healthz HTTP/1.1\r\n")
        assert await reader.read() == b""
        writer.close()


@shows("OPS_SERVER_WRITE_TIMEOUT")
async def test_a_response_of_the_ops_server_takes_no_longer_than_it_may() -> None:
    async with (
        ops(OPS_SERVER_WRITE_TIMEOUT="50ms") as url,
        ClientSession() as session,
        session.get(f"{url}/readyz") as response,
    ):
        assert response.status == HTTPStatus.SERVICE_UNAVAILABLE
        assert "50ms" in (await response.json())["message"]


@shows("KAFKA_TOPICS", "KAFKA_CONSUMER_START", "KAFKA_SSL_CERTIFICATE_LOCATION")
@shows("KAFKA_SSL_KEY_LOCATION", "KAFKA_SSL_KEY_PASSWORD")
async def test_kafkas_client_is_told_what_the_settings_say(tmp_path: Path) -> None:
    certificate, key = tmp_path / "certificate", tmp_path / "key"
    chosen = load_settings(
        {
            **SECRET,
            "KAFKA_CONSUMER_START": "latest",
            "KAFKA_TOPICS": "orders,returns",
            "KAFKA_SSL_CERTIFICATE_LOCATION": str(certificate),
            "KAFKA_SSL_KEY_LOCATION": str(key),
            "KAFKA_SSL_KEY_PASSWORD": "open sesame",
        }
    )
    topics = chosen.kafka.topic_names
    assert topics is not None
    assert topics.sources == ["orders", "returns"]
    assert consumer_config(chosen, topics).start is Start.LATEST
    told = brokers_of(chosen).credentials
    assert told == SaslCredentials(certificate=certificate, key=key, key_password="open sesame")
