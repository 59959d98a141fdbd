"""The use cases behind the API, put together over real storage for tests of the API."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast
from uuid import UUID
from zoneinfo import ZoneInfo

from attrs import evolve, field, frozen

from notification_adapters.clock import SystemClock
from notification_adapters.event_formats.filter_compiler import JsonSchemaFilterCompiler
from notification_adapters.memory import memory_storage
from notification_adapters.memory.sender import ScriptedSender
from notification_adapters.null_objects import EveryEnvironment
from notification_adapters.sql.postgres import open_postgres
from notification_adapters.sql.sqlite import open_sqlite
from notification_core.concurrency.ids import IdGenerator
from notification_core.environments.directory import Environments
from notification_core.environments.erasures import ErasureService
from notification_core.ingest.event_filters import EventFilters
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
from notification_core.model.webhook import DisabledReason
from notification_core.ports.deliveries import Claim
from notification_core.ports.environments import EnvironmentDirectory
from notification_core.ports.storage import Storage
from notification_core.webhooks.webhooks import WebhookService
from notification_entrypoints.bootstrap.application import (
    AdapterOverrides,
    Application,
    open_application,
)
from notification_entrypoints.config.groups import DbSettings, WebhookSettings
from notification_entrypoints.config.policies import webhook_rules
from notification_entrypoints.config.settings import Settings
from notification_entrypoints.observability.metrics import Metrics
from tests.support.postgres_server import CIPHER, PostgresServer
from tests.support.sqlite_template import make_sqlite

MAX_WEBHOOKS = 3
ZONE = ZoneInfo("America/Montreal")
LEASE = timedelta(seconds=30)
DELAY = timedelta(seconds=1)
TEST_TIMEOUT = timedelta(seconds=1)

_CLOCK = SystemClock()
_IDS = IdGenerator(_CLOCK)
_EVERY = EveryEnvironment()
_SETTINGS = Settings(
    db=DbSettings(encryption_secret="0123456789abcdef0123456789abcdef"),
    project_management_api_uri=None,
    tz=ZONE,
    webhooks=WebhookSettings(
        max_per_environment=MAX_WEBHOOKS,
        write_timeout=TEST_TIMEOUT,
        lease=LEASE,
        public_verification_key_signature_header="X-Signature",
        public_verification_key_signature_timestamp_header="X-Signature-Timestamp",
    ),
)


class RecordingMetrics(Metrics):
    """Counts, and keeps the route and the status of each request."""

    def __init__(self) -> None:
        super().__init__("1", "")
        self.requests: list[tuple[str, int]] = []

    def api_request_finished(self, method: str, route: str, status: int, seconds: float) -> None:
        del method, seconds
        self.requests.append((route, status))


@frozen
class Backstage:
    """What is behind the API: its use cases and stores, and what was told by them.

    ``sender`` is what webhook tests are sent by, ``revisions`` are those of the webhooks that the
    dispatcher of this process would have been told of, and ``metrics`` keeps the routes and
    statuses of requests.
    """

    application: Application
    metrics: RecordingMetrics
    sender: ScriptedSender
    revisions: list[int]
    worker: UUID = field(factory=_IDS)

    @property
    def storage(self) -> Storage:
        return self.application.storage

    def but(
        self,
        *,
        settings: Mapping[str, Any] | None = None,
        storage: Mapping[str, Any] | None = None,
        **changes: Any,
    ) -> Application:
        """Return the application with some of it, of its settings or of its storage replaced."""
        return evolve(
            self.application,
            settings=_changed(self.application.settings, settings or {}),
            storage=evolve(cast("Any", self.storage), **(storage or {})),
            **changes,
        )

    async def begin(self, count: int) -> Sequence[ClaimedDelivery]:
        """Begin so many deliveries as a worker would."""
        claimed = await self.storage.deliveries.acquire(
            Claim(self.worker, LEASE, limit=count, limit_bytes=2**30, new_webhook_limit=count)
        )
        assert len(claimed.deliveries) == count
        return claimed.deliveries

    async def end(self, attempt: Attempt, claimed: ClaimedDelivery, next_step: NextStep) -> None:
        """Write the end of an attempt as a worker would."""
        result = AttemptResult(claimed.fence, attempt, next_step, webhook_version=1)
        assert not await self.storage.deliveries.finish([result], DELAY)


def _changed(settings: Settings, changes: Mapping[str, Any]) -> Settings:
    """Return settings with others at these paths, such as ``api.rate_limit``."""
    for path, value in changes.items():
        group, _, name = path.rpartition(".")
        changed = {name: value}
        if group:
            changed = {group: evolve(getattr(settings, group), **changed)}
        settings = evolve(settings, **changed)
    return settings


@asynccontextmanager
async def in_memory(_: Path) -> AsyncIterator[Storage]:
    """Open a storage in memory."""
    yield memory_storage(_CLOCK, _IDS)


@asynccontextmanager
async def on_sqlite(folder: Path) -> AsyncIterator[Storage]:
    """Open an SQLite file in a folder."""
    path = folder / "api.sqlite"
    await make_sqlite(path)
    async with open_sqlite(path, CIPHER, _CLOCK, _IDS) as storage:
        yield storage


@asynccontextmanager
async def on_postgres(postgres: PostgresServer) -> AsyncIterator[Storage]:
    """Open a database of a server."""
    async with postgres.database() as database:
        server = postgres.server(database)
        async with open_postgres(server, CIPHER, _CLOCK, _IDS) as storage:
            yield storage


@asynccontextmanager
async def backstage(
    opened: AbstractAsyncContextManager[Storage], directory: EnvironmentDirectory = _EVERY
) -> AsyncIterator[Backstage]:
    """Open an application that only stores, over a storage and over who knows the environments."""
    metrics, sender, revisions = RecordingMetrics(), ScriptedSender(), list[int]()
    async with opened as storage:
        overrides = AdapterOverrides(
            clock=_CLOCK, storage=storage, sender=sender, directory=directory, dispatches=False
        )
        async with open_application(_SETTINGS, metrics, overrides) as application:
            filters = EventFilters(JsonSchemaFilterCompiler(), _CLOCK)
            environments = Environments(directory, storage.erasures, _CLOCK)
            webhooks = WebhookService(
                storage.webhooks,
                _CLOCK,
                _IDS,
                webhook_rules(_SETTINGS),
                environments,
                filters,
                revisions.append,
            )
            erasures = ErasureService(storage.erasures, _CLOCK, revisions.append)
            yield Backstage(
                evolve(application, webhooks=webhooks, erasures=erasures),
                metrics,
                sender,
                revisions,
            )


def attempt_of(claimed: ClaimedDelivery, **fields: Any) -> Attempt:
    """Return an attempt that has ended well, or as ``fields`` say."""
    fence = claimed.fence
    attempt = Attempt(
        log_id=_IDS(),
        environment_id=fence.environment_id,
        webhook_id=claimed.webhook_id,
        delivery_id=fence.delivery_id,
        event_id=claimed.event_id,
        event_type=claimed.event_type,
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
    (claimed,) = await stage.begin(1)
    return await log_success_of(stage, claimed)


async def log_success_of(stage: Backstage, claimed: ClaimedDelivery) -> Attempt:
    """Let a delivery that was claimed succeed."""
    attempt = attempt_of(claimed)
    await stage.end(attempt, claimed, Succeeded())
    return attempt


async def log_gone(stage: Backstage) -> Attempt:
    """Let the delivery that is due be answered by a 410, which disables its webhook."""
    (claimed,) = await stage.begin(1)
    return await log_gone_of(stage, claimed)


async def log_gone_of(stage: Backstage, claimed: ClaimedDelivery) -> Attempt:
    """Let a delivery that was claimed be answered by a 410, which disables its webhook."""
    attempt = attempt_of(
        claimed,
        outcome=AttemptOutcome.FAILED,
        error=AttemptError(ErrorCode.GONE, "The receiver responded with 410."),
        response=ReceivedResponse(
            410, (("Set-Cookie", "a=1"), ("set-cookie", "b=2")), b"gone \xff", truncated=True
        ),
    )
    await stage.end(attempt, claimed, Failed(disables=DisabledReason.GONE))
    return attempt
