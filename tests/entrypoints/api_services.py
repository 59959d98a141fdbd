"""The use cases behind the API, put together over real storage for tests of the API."""

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from attrs import evolve, field, frozen

from notification_adapters.clock import SystemClock
from notification_adapters.memory import MemoryStorage, memory_storage
from notification_adapters.memory.sender import ScriptedSender
from notification_adapters.null_objects import EveryEnvironment
from notification_adapters.sql import SqlStorage
from notification_adapters.sql.postgres import open_postgres
from notification_adapters.sql.sqlite import open_sqlite
from notification_core.access.api_keys import ApiKeyService
from notification_core.concurrency.ids import IdGenerator
from notification_core.dispatch.attempt import AttemptMaker, DeliveryRules
from notification_core.environments.directory import Environments
from notification_core.environments.erasures import ErasureService
from notification_core.ingest.ingest import Ingest
from notification_core.model.delivery import (
    Attempt,
    AttemptError,
    AttemptOutcome,
    AttemptResult,
    ClaimedDelivery,
    ErrorCode,
    Failed,
    NextStep,
    ReceivedResponse,
    SentRequest,
    Succeeded,
)
from notification_core.model.destinations import DestinationPolicy
from notification_core.model.event_types import EVENT_TYPES
from notification_core.model.retry_policy import RetryPolicy
from notification_core.model.webhook import DisabledReason
from notification_core.ports.api_keys import ApiKeyStore
from notification_core.ports.audit import AuditLog
from notification_core.ports.deliveries import Claim, DeliveryStore
from notification_core.ports.dispatch_notifier import DispatchNotifier
from notification_core.ports.environments import EnvironmentDirectory
from notification_core.ports.erasures import ErasureStore
from notification_core.ports.history import History
from notification_core.ports.idempotency import IdempotencyStore
from notification_core.ports.logs import LogStore
from notification_core.ports.replays import ReplayStore
from notification_core.ports.signing_keys import KeyStore
from notification_core.ports.webhook_tests import WebhookTestStore
from notification_core.ports.webhooks import WebhookStore
from notification_core.replays.replays import Replays
from notification_core.signing.key_cache import SigningKeyCache
from notification_core.signing.rotation import SigningKeyService
from notification_core.signing.signatures import (
    CryptographySigner,
    SignatureCache,
    SignatureHeaders,
)
from notification_core.webhooks.webhook_tester import WebhookTester
from notification_core.webhooks.webhooks import WebhookRules, WebhookService
from notification_entrypoints.api.dependencies import ApiDependencies
from notification_entrypoints.api.endpoint import Timeouts
from notification_entrypoints.api.security.authentication import Callers
from notification_entrypoints.api.security.authorization import OriginPolicy
from notification_entrypoints.observability.metrics import Metrics
from tests.support.postgres_server import CIPHER, PostgresServer
from tests.support.sqlite_template import make_sqlite

MAX_WEBHOOKS = 3
ZONE = ZoneInfo("America/Montreal")
LEASE = timedelta(seconds=30)
DELAY = timedelta(seconds=1)
TRIAL_TIMEOUT = timedelta(seconds=1)

_CLOCK = SystemClock()
_IDS = IdGenerator(_CLOCK)
_EVERY = EveryEnvironment()
_SIGNATURE_HEADERS = SignatureHeaders("X-Signature", "X-Signature-Timestamp")


@frozen
class Stores:
    """One storage, by its ports."""

    webhooks: WebhookStore
    deliveries: DeliveryStore
    keys: KeyStore
    api_keys: ApiKeyStore
    audit: AuditLog
    logs: LogStore
    history: History
    replays: ReplayStore
    trials: WebhookTestStore
    erasures: ErasureStore
    idempotency: IdempotencyStore
    waking: DispatchNotifier


def _stores(storage: MemoryStorage | SqlStorage) -> Stores:
    return Stores(
        webhooks=storage.webhooks,
        deliveries=storage.deliveries,
        keys=storage.keys,
        api_keys=storage.api_keys,
        audit=storage.audit,
        logs=storage.logs,
        history=storage.history,
        replays=storage.replays,
        trials=storage.trials,
        erasures=storage.erasures,
        idempotency=storage.idempotency,
        waking=storage.waking,
    )


@frozen
class Backstage:
    """What is behind the API: its services and stores, and what was told by them.

    ``sender`` is what trials are sent by, ``changes`` are the change counters that the dispatcher
    of this process would have heard, and ``requests`` the routes and statuses that would have
    been counted.
    """

    stores: Stores
    services: ApiDependencies
    sender: ScriptedSender
    changes: list[int]
    requests: list[tuple[str, int]]
    worker: UUID = field(factory=_IDS)

    def but(self, **changes: Any) -> ApiDependencies:
        """Return the services with some of them replaced."""
        return evolve(self.services, **changes)

    async def begin(self, count: int) -> Sequence[ClaimedDelivery]:
        """Begin so many deliveries as a worker would."""
        claimed = await self.stores.deliveries.acquire(
            Claim(self.worker, LEASE, limit=count, limit_bytes=2**30, room=count)
        )
        assert len(claimed.deliveries) == count
        return claimed.deliveries

    async def end(self, attempt: Attempt, begun: ClaimedDelivery, verdict: NextStep) -> None:
        """Write the end of an attempt as a worker would."""
        result = AttemptResult(begun.fence, attempt, verdict, webhook_version=1)
        assert not await self.stores.deliveries.finish([result], DELAY)


@asynccontextmanager
async def in_memory(_: Path) -> AsyncIterator[Stores]:
    """Open a storage in memory."""
    storage = memory_storage(_CLOCK, _IDS)
    yield _stores(storage)


@asynccontextmanager
async def on_sqlite(folder: Path) -> AsyncIterator[Stores]:
    """Open an SQLite file in a folder."""
    path = folder / "api.sqlite"
    await make_sqlite(path)
    async with open_sqlite(path, CIPHER, _CLOCK, _IDS) as storage:
        yield _stores(storage)


@asynccontextmanager
async def on_postgres(postgres: PostgresServer) -> AsyncIterator[Stores]:
    """Open a database of a server."""
    async with postgres.database() as database:
        server = postgres.server(database)
        async with open_postgres(server, CIPHER, _CLOCK, _IDS) as storage:
            yield _stores(storage)


@asynccontextmanager
async def backstage(
    opened: AbstractAsyncContextManager[Stores], directory: EnvironmentDirectory = _EVERY
) -> AsyncIterator[Backstage]:
    """Put the use cases together over a storage, and over who knows the environments."""
    async with opened as stores:
        changes: list[int] = []
        requests: list[tuple[str, int]] = []
        sender = ScriptedSender()
        services = _services(
            stores, Environments(directory, stores.erasures, _CLOCK), sender, changes, requests
        )
        yield Backstage(stores, services, sender, changes, requests)
        await services.ingest.settled()


def _services(
    stores: Stores,
    environments: Environments,
    sender: ScriptedSender,
    changes: list[int],
    requests: list[tuple[str, int]],
) -> ApiDependencies:
    rules = WebhookRules(
        destinations=DestinationPolicy(),
        reserved_headers=_SIGNATURE_HEADERS.names,
        event_types=EVENT_TYPES.keys(),
        max_webhooks=MAX_WEBHOOKS,
    )
    metrics = Metrics("1", "")
    keyring = SigningKeyCache(stores.keys, _CLOCK, _new_seed)
    return ApiDependencies(
        subscriptions=WebhookService(
            stores.webhooks, _CLOCK, _IDS, rules, environments, changes.append
        ),
        ingest=Ingest(stores.deliveries, _CLOCK, _IDS, metrics, None, stores.waking),
        verification_keys=SigningKeyService(stores.keys, keyring, environments, _CLOCK, _new_seed),
        webhooks=stores.webhooks,
        logs=stores.logs,
        history=stores.history,
        replays=Replays(
            store=stores.replays,
            history=stores.history,
            webhooks=stores.webhooks,
            clock=_CLOCK,
            ids=_IDS,
            wake=lambda: None,
            started=lambda: None,
        ),
        trials=WebhookTester(
            store=stores.trials,
            webhooks=stores.webhooks,
            keyring=keyring,
            deliver=_deliver(sender),
            clock=_CLOCK,
            ids=_IDS,
            observer=metrics,
            lease=LEASE,
        ),
        erasures=ErasureService(stores.erasures, _CLOCK, changes.append),
        idempotency=stores.idempotency,
        issuing=ApiKeyService(
            stores.api_keys, _CLOCK, _IDS, lambda: os.urandom(32), lambda _: None
        ),
        audit=stores.audit,
        callers=Callers(None, _CLOCK),
        origin_policy=OriginPolicy(),
        clock=_CLOCK,
        ids=_IDS,
        signature_headers=_SIGNATURE_HEADERS,
        zone=ZONE,
        cursor_key=b"k" * 32,
        timeouts=Timeouts(read=timedelta(seconds=5), write=timedelta(seconds=10)),
        requests=lambda route, status: requests.append((route, status)),
        tally=metrics,
    )


def _deliver(sender: ScriptedSender) -> AttemptMaker:
    signatures = SignatureCache(_SIGNATURE_HEADERS, CryptographySigner())
    rules = DeliveryRules(TRIAL_TIMEOUT, RetryPolicy())
    return AttemptMaker(sender, signatures, _CLOCK, _IDS, rules, lambda: 0.0)


def _new_seed() -> bytes:
    return os.urandom(32)


def attempt_of(begun: ClaimedDelivery, **fields: Any) -> Attempt:
    """Return an attempt that has ended well, or as ``fields`` say."""
    fence = begun.fence
    attempt = Attempt(
        log_id=_IDS(),
        environment_id=fence.environment_id,
        webhook_id=begun.webhook_id,
        delivery_id=fence.delivery_id,
        event_id=begun.event_id,
        event_type=begun.event_type,
        number=fence.attempt,
        outcome=AttemptOutcome.SUCCEEDED,
        started_at=datetime.now(UTC),
        request=SentRequest("post", "https://example.com/", (("Authorization", "***"),)),
        response=ReceivedResponse(204, (("Server", "x"),), b""),
        duration=timedelta(milliseconds=12.5),
    )
    return evolve(attempt, **fields)


async def log_success(stage: Backstage) -> Attempt:
    """Let the delivery that is due succeed."""
    (begun,) = await stage.begin(1)
    return await log_success_of(stage, begun)


async def log_success_of(stage: Backstage, begun: ClaimedDelivery) -> Attempt:
    """Let a delivery that was begun succeed."""
    attempt = attempt_of(begun)
    await stage.end(attempt, begun, Succeeded())
    return attempt


async def log_gone(stage: Backstage) -> Attempt:
    """Let the delivery that is due be answered with 410, which disables its webhook."""
    (begun,) = await stage.begin(1)
    return await log_gone_of(stage, begun)


async def log_gone_of(stage: Backstage, begun: ClaimedDelivery) -> Attempt:
    """Let a delivery that was begun be answered with 410, which disables its webhook."""
    attempt = attempt_of(
        begun,
        outcome=AttemptOutcome.FAILED,
        error=AttemptError(ErrorCode.GONE, "The receiver answered 410."),
        response=ReceivedResponse(
            410, (("Set-Cookie", "a=1"), ("set-cookie", "b=2")), b"gone \xff", truncated=True
        ),
    )
    await stage.end(attempt, begun, Failed(disables=DisabledReason.GONE))
    return attempt
