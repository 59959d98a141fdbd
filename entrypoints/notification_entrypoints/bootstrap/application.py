"""Wiring: which adapter stands behind which port, and how the use cases are put together."""

import asyncio
import hmac
import os
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext, suppress
from typing import Final
from uuid import UUID

from attrs import field, frozen

from notification_adapters.clock import SystemClock
from notification_adapters.event_formats.data_schemas import DataSchemas
from notification_adapters.event_formats.filter_compiler import JsonSchemaFilterCompiler
from notification_adapters.null_objects import EveryEnvironment
from notification_adapters.project_management import ProjectManagementApi
from notification_core.access.api_keys import ApiKeyService
from notification_core.access.authentication import StoredKeys
from notification_core.access.console_sessions import ConsoleSessionService
from notification_core.access.portal_sessions import PortalSessionService
from notification_core.concurrency.ids import IdGenerator
from notification_core.dispatch.attempt import AttemptMaker
from notification_core.dispatch.dispatcher import Dispatcher, Maintenance
from notification_core.environments.directory import Environments
from notification_core.environments.erasures import ErasureService
from notification_core.errors import WorkerLockTaken
from notification_core.ingest.data_validation import DataValidation
from notification_core.ingest.dead_letters import DeadLetterReplay
from notification_core.ingest.event_filters import EventFilters
from notification_core.ingest.full_queues import FullQueueMonitor
from notification_core.ingest.ingest import Ingest
from notification_core.ingest.plan import IngestPlanner
from notification_core.model.event import Source
from notification_core.ports.clock import Clock
from notification_core.ports.credentials import CredentialScheme
from notification_core.ports.environments import EnvironmentDirectory
from notification_core.ports.history import History
from notification_core.ports.sender import HttpSender
from notification_core.ports.storage import Storage
from notification_core.ports.tracer import Tracer
from notification_core.replays.replays import ReplayService
from notification_core.signing.key_cache import SigningKeyCache
from notification_core.signing.rotation import SigningKeyService
from notification_core.signing.signatures import SignatureCache
from notification_core.webhooks.filter_trials import FilterTrials
from notification_core.webhooks.signing_secrets import SigningSecretService
from notification_core.webhooks.webhook_tester import WebhookTester
from notification_core.webhooks.webhooks import WebhookService
from notification_entrypoints.bootstrap.authentication import open_credentials
from notification_entrypoints.bootstrap.dead_letters import dead_letter_replay
from notification_entrypoints.bootstrap.http_sender import choose_sender
from notification_entrypoints.bootstrap.maintenance import make_maintenance
from notification_entrypoints.bootstrap.operational_events import publish_operational_events
from notification_entrypoints.bootstrap.sessions import console_sessions, portal_sessions
from notification_entrypoints.bootstrap.signer import fastest_signer
from notification_entrypoints.bootstrap.storage import open_storage
from notification_entrypoints.bootstrap.tracer import open_tracer
from notification_entrypoints.config.parsers import EventValidation
from notification_entrypoints.config.policies import (
    delivery_rules,
    dispatch_rules,
    event_catalogues,
    webhook_rules,
)
from notification_entrypoints.config.settings import Settings
from notification_entrypoints.config.wrapped_secrets import unwrap_secrets
from notification_entrypoints.observability.metrics import Metrics
from notification_entrypoints.serving.background import in_background
from notification_entrypoints.serving.shutdown import ShutdownDeadline

_SECRET_BYTES: Final = 32  # of a key to sign with, of what opens the API, of a token


@frozen
class Application:
    """The use cases of one process, ready to be offered over HTTP or called.

    ``credentials`` are the schemes that callers of the API may authenticate by, None if
    authentication is disabled. ``dispatcher`` is None if another process already dispatches from
    the same storage. The ``deadline`` is how long work may go on once the application is closed,
    or winds down.
    """

    settings: Settings
    metrics: Metrics
    tracer: Tracer
    clock: Clock
    ids: IdGenerator
    storage: Storage
    webhooks: WebhookService
    webhook_tester: WebhookTester
    filter_trials: FilterTrials
    signing_secrets: SigningSecretService
    signing_keys: SigningKeyService
    replays: ReplayService
    erasures: ErasureService
    api_keys: ApiKeyService
    portal_sessions: PortalSessionService
    console_sessions: ConsoleSessionService
    credentials: Sequence[CredentialScheme] | None
    ingests: Mapping[Source, Ingest]
    validation: DataValidation
    dead_letters: DeadLetterReplay
    dispatcher: Dispatcher | None
    deadline: ShutdownDeadline

    @property
    def cursor_key(self) -> bytes:
        """What the cursors of pages are sealed under.

        It is the same in every process, so that one takes what another gave.
        """
        return hmac.digest(self.settings.db.encryption_secret.encode(), b"cursors/v1", "sha256")

    def wind_down(self) -> None:
        """Begin no more attempts: the process is about to stop."""
        self.deadline.begin()
        if self.dispatcher:
            self.dispatcher.wind_down()


@frozen
class AdapterOverrides:
    """Adapters that replace those that the settings choose; None leaves it to the settings.

    The caller closes a storage or a sender that it passes. Without ``dispatches`` this process
    only stores events: other processes deliver.
    """

    clock: Clock = field(factory=SystemClock)
    storage: Storage | None = None
    sender: HttpSender | None = None
    directory: EnvironmentDirectory | None = None
    tracer: Tracer | None = None
    dispatches: bool = True


NO_OVERRIDES: Final = AdapterOverrides()


@frozen
class Runtime:
    """What the use cases of one process are built from."""

    settings: Settings
    metrics: Metrics
    clock: Clock
    ids: IdGenerator
    deadline: ShutdownDeadline
    storage: Storage
    filters: EventFilters
    key_cache: SigningKeyCache
    attempts: AttemptMaker


@asynccontextmanager
async def open_application(
    settings: Settings, metrics: Metrics, overrides: AdapterOverrides = NO_OVERRIDES
) -> AsyncIterator[Application]:
    """Open storage and sender, begin to dispatch, and end it all in the opposite order."""
    async with AsyncExitStack() as stack:
        runtime = await _open_runtime(stack, await unwrap_secrets(settings), metrics, overrides)
        settings, storage, clock = runtime.settings, runtime.storage, runtime.clock
        ids, tracer = runtime.ids, runtime.attempts.tracer
        opening_dispatcher = _open_dispatcher(runtime) if overrides.dispatches else nullcontext()
        dispatcher = await stack.enter_async_context(opening_dispatcher)
        ingests = await _open_ingests(stack, runtime, dispatcher)
        environments = _open_environments(stack, runtime, overrides.directory)
        # Without a dispatcher here, the dispatching process sees the change at its next poll.
        on_change = dispatcher.on_webhooks_changed if dispatcher else lambda _: None
        stored_keys = StoredKeys(storage.api_keys, clock)
        opening_credentials = open_credentials(settings, stored_keys, clock)
        credentials = await stack.enter_async_context(opening_credentials)
        validation = data_validation(settings, storage.history, metrics)
        yield Application(
            settings=settings,
            metrics=metrics,
            tracer=tracer,
            clock=clock,
            ids=ids,
            storage=storage,
            webhooks=WebhookService(
                *(storage.webhooks, clock, ids, webhook_rules(settings)),
                *(environments, runtime.filters, on_change),
            ),
            webhook_tester=_open_webhook_tester(stack, runtime),
            filter_trials=FilterTrials(storage.history, storage.webhooks, runtime.filters),
            signing_secrets=SigningSecretService(storage.webhooks, clock, ids, _secret, on_change),
            signing_keys=SigningKeyService(
                storage.signing_keys, runtime.key_cache, environments, clock, _secret
            ),
            replays=_replays(runtime, dispatcher),
            erasures=ErasureService(storage.erasures, clock, on_change),
            api_keys=ApiKeyService(storage.api_keys, clock, ids, _secret, stored_keys.invalidate),
            portal_sessions=portal_sessions(storage, environments.require, clock, ids),
            console_sessions=console_sessions(settings, storage, clock, ids, credentials),
            credentials=credentials,
            ingests=ingests,
            validation=validation,
            dead_letters=dead_letter_replay(
                *(settings, storage, ingests[Source.KAFKA], validation, clock), traced=tracer.is_on
            ),
            dispatcher=dispatcher,
            deadline=runtime.deadline,
        )


def _open_environments(
    stack: AsyncExitStack, runtime: Runtime, directory: EnvironmentDirectory | None
) -> Environments:
    """Open the directory that the settings say, unless there is one, until the stack is closed."""
    if directory is None:
        uri = runtime.settings.project_management_api_uri
        # Without a URI all environments are taken to exist.
        directory = ProjectManagementApi(uri) if uri else EveryEnvironment()
        stack.push_async_callback(directory.close)
    return Environments(directory, runtime.storage.erasures, runtime.clock)


def data_validation(settings: Settings, history: History, metrics: Metrics) -> DataValidation:
    """Return what happens to events whose data does not fit, as the settings say."""
    return DataValidation(
        DataSchemas(settings.event.catalogue),
        history,
        metrics.data_schema_mismatched,
        rejects=settings.event.validation is EventValidation.REJECT,
    )


async def _open_runtime(
    stack: AsyncExitStack, settings: Settings, metrics: Metrics, overrides: AdapterOverrides
) -> Runtime:
    """Open what the settings say and nothing overrides, until the stack is closed."""
    clock = overrides.clock
    ids = IdGenerator(clock)
    # First, and so the last that is closed: it is to see all others end.
    if (tracer := overrides.tracer) is None:
        tracer = await stack.enter_async_context(open_tracer(settings))
    if (storage := overrides.storage) is None:
        storage = await stack.enter_async_context(open_storage(settings, clock, ids))
    if (sender := overrides.sender) is None:
        sender = choose_sender(settings, metrics.phase_finished)
        stack.push_async_callback(sender.close)
    signatures = SignatureCache(settings.webhooks.signature_headers, fastest_signer())
    return Runtime(
        settings=settings,
        metrics=metrics,
        clock=clock,
        ids=ids,
        deadline=ShutdownDeadline(clock),
        storage=storage,
        filters=EventFilters(JsonSchemaFilterCompiler(), clock),
        key_cache=SigningKeyCache(storage.signing_keys, clock, _secret),
        attempts=AttemptMaker(
            *(sender, signatures, clock, ids, delivery_rules(settings), random.random, tracer),
            settings.pod_name,
        ),
    )


async def _open_ingests(
    stack: AsyncExitStack, runtime: Runtime, dispatcher: Dispatcher | None
) -> Mapping[Source, Ingest]:
    """Take events in until the stack is closed, and keep an eye on the queues meanwhile."""
    storage = runtime.storage
    full_queues = FullQueueMonitor(
        storage.backlog,
        runtime.clock,
        runtime.metrics,
        runtime.settings.webhooks.max_pending_per_webhook,
    )
    await stack.enter_async_context(in_background(full_queues.run()))
    tracer = runtime.attempts.tracer
    planner = IngestPlanner(
        runtime.clock, runtime.ids, runtime.filters, full_queues.webhooks, tracer.is_on
    )
    ingests = {
        source: Ingest(
            storage.deliveries,
            planner,
            runtime.metrics,
            dispatcher.runner if dispatcher else None,
            storage.notifier,
            source=source,
            parallel=storage.parallel_ingests,
            tracer=tracer,
        )
        for source in Source
    }
    for ingest in ingests.values():
        stack.push_async_callback(ingest.drain)
    if dispatcher:
        operational = ingests[Source.OPERATIONAL]
        publishing = publish_operational_events(
            *(runtime.settings, storage, operational, runtime.clock, runtime.metrics)
        )
        await stack.enter_async_context(publishing)
    return ingests


def _open_webhook_tester(stack: AsyncExitStack, runtime: Runtime) -> WebhookTester:
    tester = WebhookTester(
        store=runtime.storage.webhook_tests,
        webhooks=runtime.storage.webhooks,
        key_cache=runtime.key_cache,
        attempts=runtime.attempts,
        clock=runtime.clock,
        ids=runtime.ids,
        observer=runtime.metrics,
        catalogues=event_catalogues(runtime.settings),
        lease=runtime.settings.webhooks.lease,
    )
    stack.push_async_callback(_within, runtime.deadline, tester.drain)
    return tester


def _replays(runtime: Runtime, dispatcher: Dispatcher | None) -> ReplayService:
    storage = runtime.storage

    def wake() -> None:
        """Tell all who dispatch that something is due."""
        if dispatcher:
            dispatcher.runner.wake()
        storage.notifier.wake()

    return ReplayService(
        store=storage.replays,
        history=storage.history,
        webhooks=storage.webhooks,
        clock=runtime.clock,
        ids=runtime.ids,
        wake=wake,
        # Without a dispatcher here, the dispatching process finds the replay at its next poll.
        started=dispatcher.replay if dispatcher else lambda: None,
    )


@asynccontextmanager
async def _open_dispatcher(runtime: Runtime) -> AsyncIterator[Dispatcher | None]:
    """Dispatch for the length of the block; of a SQLite file only one process can."""
    storage, metrics = runtime.storage, runtime.metrics
    worker = runtime.ids()
    try:
        await storage.worker_lock.acquire(worker)
    except WorkerLockTaken:
        yield None
        return
    maintenance = make_maintenance(
        *(runtime.settings, storage, runtime.clock, metrics, runtime.key_cache.invalidate)
    )
    dispatcher = _dispatcher(runtime, worker, maintenance)
    metrics.observe_maintenance(
        holds_lock=lambda: not dispatcher.runner.suspended,
        retention_lag=lambda: maintenance.retention.lag,
    )
    metrics.observe_dispatcher(
        in_flight=lambda: dispatcher.in_flight,
        queued=lambda: dispatcher.waiting,
        limit=runtime.settings.webhooks.max_in_flight,
        oldest_waiting=lambda: dispatcher.oldest_waiting,
    )
    metrics.observe_webhooks(dispatcher.environments, dispatcher.holds_back)
    await dispatcher.start()
    try:
        yield dispatcher
    finally:
        # A receiver may be slow, and storage away, for longer than a stop may take: what is not
        # written by then is known by its lease, and freed by the next start.
        await _within(runtime.deadline, dispatcher.stop)
        await storage.worker_lock.release()


def _dispatcher(runtime: Runtime, worker: UUID, maintenance: Maintenance) -> Dispatcher:
    return Dispatcher(
        storage=runtime.storage,
        attempts=runtime.attempts,
        key_cache=runtime.key_cache,
        maintenance=maintenance,
        clock=runtime.clock,
        observer=runtime.metrics,
        rules=dispatch_rules(runtime.settings),
        worker=worker,
        new_worker=runtime.ids,
    )


async def _within(deadline: ShutdownDeadline, step: Callable[[], Awaitable[None]]) -> None:
    """Do a step as far as there is time for it."""
    with suppress(TimeoutError):
        async with asyncio.timeout(deadline.left):
            await step()


def _secret() -> bytes:
    return os.urandom(_SECRET_BYTES)
