"""Wiring: which adapter stands behind which port, and how the use cases are put together."""

import asyncio
import hmac
import os
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    nullcontext,
    suppress,
)

from attrs import field, frozen

from notification_adapters.clock import SystemClock
from notification_adapters.null_objects import EveryEnvironment
from notification_adapters.project_management import ProjectManagementApi
from notification_core.access.api_keys import ApiKeyService
from notification_core.access.authentication import StoredKeys
from notification_core.concurrency.ids import IdGenerator
from notification_core.dispatch.attempt import AttemptMaker
from notification_core.dispatch.dispatcher import Dispatcher
from notification_core.environments.directory import Environments
from notification_core.environments.erasures import ErasureRunner, ErasureService
from notification_core.errors import WorkerLockTaken
from notification_core.ingest.full_queues import FullQueueMonitor
from notification_core.ingest.ingest import Ingest
from notification_core.maintenance.lease_reaper import LeaseReaper
from notification_core.maintenance.retention_sweeper import RetentionSweeper
from notification_core.model.api_key import SECRET_BYTES
from notification_core.model.event import Source
from notification_core.ports.clock import Clock
from notification_core.ports.credentials import CredentialScheme
from notification_core.ports.environments import EnvironmentDirectory
from notification_core.ports.sender import HttpSender
from notification_core.ports.storage import Storage
from notification_core.replays.replay_runner import Replaying
from notification_core.replays.replays import Replays
from notification_core.signing.key_cache import SigningKeyCache
from notification_core.signing.rotation import SigningKeyService
from notification_core.signing.signatures import SignatureCache
from notification_core.webhooks.webhook_tester import WebhookTester
from notification_core.webhooks.webhooks import WebhookService
from notification_entrypoints.bootstrap.authentication import accepted_credentials
from notification_entrypoints.bootstrap.http_sender import chosen_sender
from notification_entrypoints.bootstrap.signer import fastest_signer
from notification_entrypoints.bootstrap.storage import open_storage
from notification_entrypoints.config.policies import (
    delivery_rules,
    dispatch_rules,
    retention_rules,
    upkeep_rules,
    webhook_rules,
)
from notification_entrypoints.config.settings import Settings
from notification_entrypoints.config.wrapped_secrets import unwrapped
from notification_entrypoints.observability.metrics import Metrics
from notification_entrypoints.serving.shutdown import ShutdownDeadline

SEED_BYTES = 32


@frozen
class Application:
    """The use cases of one process, ready to be offered over HTTP or called.

    ``dispatcher`` is None where another process already dispatches from the same storage. The
    ``grace`` is how long work may go on once the service is closed, or told to wind down.
    """

    clock: Clock
    ids: IdGenerator
    storage: Storage
    verification_keys: SigningKeyService
    issuing: ApiKeyService
    credentials: Sequence[CredentialScheme] | None
    subscriptions: WebhookService
    replays: Replays
    trials: WebhookTester
    erasures: ErasureService
    ingests: Mapping[Source, Ingest]
    cursor_key: bytes = field(repr=False)
    dispatcher: Dispatcher | None
    grace: ShutdownDeadline

    def wind_down(self) -> None:
        """Begin no more attempts: the process is about to stop."""
        self.grace.begin()
        if self.dispatcher:
            self.dispatcher.wind_down()


@frozen
class Adapters:
    """What stands behind ports in the place of what the settings say; None leaves it to them.

    Whoever gives a storage or a sender also closes it. Without ``dispatches`` this process only
    stores: others deliver.
    """

    clock: Clock = field(factory=SystemClock)
    storage: "Storage | None" = None
    sender: HttpSender | None = None
    directory: EnvironmentDirectory | None = None
    dispatches: bool = True


_BY_SETTINGS = Adapters()


@frozen
class _Ground:
    """What every part of one process stands on."""

    settings: Settings
    clock: Clock
    ids: IdGenerator
    watch: Metrics
    grace: ShutdownDeadline


@asynccontextmanager
async def open_service(
    settings: Settings, watch: Metrics, given: Adapters = _BY_SETTINGS
) -> AsyncIterator[Application]:
    """Open storage and sender, begin to dispatch, and end it all in the opposite order."""
    clock = given.clock
    ids = IdGenerator(clock)
    grace = ShutdownDeadline(clock)
    async with AsyncExitStack() as stack:
        settings = await unwrapped(settings)
        ground = _Ground(settings, clock, ids, watch, grace)
        storage = await stack.enter_async_context(_storing(ground, given))
        keyring = SigningKeyCache(storage.keys, clock, _new_seed)
        sender = await stack.enter_async_context(_sending(ground, given))
        deliver = _deliver(ground, sender)
        dispatcher = await stack.enter_async_context(
            _dispatching(ground, storage, deliver, keyring) if given.dispatches else nullcontext()
        )
        full = await stack.enter_async_context(_full_queues(ground, storage))
        ingests = _ingests(ground, storage, dispatcher, full)
        for ingest in ingests.values():
            stack.push_async_callback(ingest.settled)
        directory = await stack.enter_async_context(_asking(settings, given))
        environments = Environments(directory, storage.erasures, clock)
        keys = SigningKeyService(storage.keys, keyring, environments, clock, _new_seed)
        changed = dispatcher.changed if dispatcher else _nobody_to_tell
        subscriptions = WebhookService(
            storage.webhooks, clock, ids, webhook_rules(settings), environments, changed
        )
        replays = _replays(ground, storage, dispatcher)
        trials = _trials(ground, storage, keyring, deliver)
        stack.push_async_callback(_within, grace, trials.settled)
        api_keys = StoredKeys(storage.api_keys, clock)
        credentials = await stack.enter_async_context(
            accepted_credentials(settings, api_keys, clock)
        )
        yield Application(
            clock=clock,
            ids=ids,
            storage=storage,
            verification_keys=keys,
            issuing=ApiKeyService(storage.api_keys, clock, ids, _new_secret, api_keys.forget),
            credentials=credentials,
            subscriptions=subscriptions,
            replays=replays,
            trials=trials,
            erasures=ErasureService(storage.erasures, clock, changed),
            ingests=ingests,
            cursor_key=_cursor_key(settings),
            dispatcher=dispatcher,
            grace=grace,
        )


@asynccontextmanager
async def _full_queues(ground: _Ground, storage: Storage) -> AsyncIterator[FullQueueMonitor]:
    """Keep an eye on the queues for the length of the block."""
    most = ground.settings.webhooks_max_pending_per_webhook
    full = FullQueueMonitor(storage.backlog, ground.clock, ground.watch, most)
    looking = asyncio.create_task(full.run())
    try:
        yield full
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)


def _ingests(
    ground: _Ground, storage: Storage, dispatcher: Dispatcher | None, full: FullQueueMonitor
) -> Mapping[Source, Ingest]:
    return {
        source: Ingest(
            storage.deliveries,
            ground.clock,
            ground.ids,
            ground.watch,
            dispatcher.sending if dispatcher else None,
            storage.waking,
            full=full.webhooks,
            source=source,
            side_by_side=storage.parallel_ingests,
        )
        for source in Source
    }


def _trials(
    ground: _Ground, storage: Storage, keyring: SigningKeyCache, deliver: AttemptMaker
) -> WebhookTester:
    return WebhookTester(
        store=storage.trials,
        webhooks=storage.webhooks,
        keyring=keyring,
        deliver=deliver,
        clock=ground.clock,
        ids=ground.ids,
        observer=ground.watch,
        lease=ground.settings.webhooks_lease,
    )


def _replays(ground: _Ground, storage: Storage, dispatcher: Dispatcher | None) -> Replays:
    return Replays(
        store=storage.replays,
        history=storage.history,
        webhooks=storage.webhooks,
        clock=ground.clock,
        ids=ground.ids,
        wake=_waking(storage, dispatcher),
        started=dispatcher.replay if dispatcher else _nobody_to_start,
    )


def _storing(ground: _Ground, given: Adapters) -> AbstractAsyncContextManager[Storage]:
    if given.storage:
        return nullcontext(given.storage)
    return open_storage(ground.settings, ground.clock, ground.ids)


@asynccontextmanager
async def _sending(ground: _Ground, given: Adapters) -> AsyncIterator[HttpSender]:
    """Have the sender that was given, or the one that the settings ask for."""
    if given.sender:
        yield given.sender
        return
    sender = chosen_sender(ground.settings, ground.watch.phase_finished)
    try:
        yield sender
    finally:
        await sender.close()


def _deliver(ground: _Ground, sender: HttpSender) -> AttemptMaker:
    signatures = SignatureCache(ground.settings.signature_headers, fastest_signer())
    rules = delivery_rules(ground.settings)
    return AttemptMaker(sender, signatures, ground.clock, ground.ids, rules, random.random)


@asynccontextmanager
async def _asking(settings: Settings, given: Adapters) -> AsyncIterator[EnvironmentDirectory]:
    """Have somebody who knows the environments; without a URI all of them are taken to exist."""
    if given.directory:
        yield given.directory
        return
    uri = settings.project_management_api_uri
    directory = ProjectManagementApi(uri) if uri else EveryEnvironment()
    try:
        yield directory
    finally:
        await directory.close()


@asynccontextmanager
async def _dispatching(
    ground: _Ground, storage: Storage, deliver: AttemptMaker, keyring: SigningKeyCache
) -> AsyncIterator[Dispatcher | None]:
    """Dispatch for the length of the block; of a SQLite file only one process can."""
    settings, clock, watch = ground.settings, ground.clock, ground.watch
    worker = ground.ids()
    try:
        await storage.worker_lock.acquire(worker)
    except WorkerLockTaken:
        yield None
        return
    dispatcher = Dispatcher(
        worker=worker,
        deliveries=storage.deliveries,
        webhooks=storage.webhooks,
        deliver=deliver,
        keyring=keyring,
        replaying=Replaying(storage.replays, watch),
        erasing=ErasureRunner(storage.erasures, keyring.forget),
        upkeep=LeaseReaper(
            deliveries=storage.deliveries,
            webhooks=storage.webhooks,
            idempotency=storage.idempotency,
            lock=storage.worker_lock,
            clock=clock,
            observer=watch,
            rules=upkeep_rules(settings),
        ),
        forgetting=RetentionSweeper(storage.retention, clock, retention_rules(settings)),
        lock=storage.worker_lock,
        waking=storage.waking,
        clock=clock,
        observer=watch,
        rules=dispatch_rules(settings),
        new_worker=ground.ids,
    )
    watch.observe_dispatcher(
        in_flight=lambda: dispatcher.in_flight,
        queued=lambda: dispatcher.waiting,
        limit=settings.webhooks_max_in_flight,
    )
    watch.observe_webhooks(dispatcher.environments, dispatcher.holds_back)
    await dispatcher.start()
    try:
        yield dispatcher
    finally:
        # A receiver may be slow, and storage away, for longer than a stop may take: what is not
        # written by then is known by its lease, and freed by the next start.
        await _within(ground.grace, dispatcher.stop)
        await storage.worker_lock.release()


async def _within(grace: ShutdownDeadline, step: Callable[[], Awaitable[None]]) -> None:
    """Do a step as far as there is time for it."""
    with suppress(TimeoutError):
        async with asyncio.timeout(grace.left):
            await step()


def _new_secret() -> bytes:
    return os.urandom(SECRET_BYTES)


def _new_seed() -> bytes:
    return os.urandom(SEED_BYTES)


def _nobody_to_tell(changes: int) -> None:
    """Leave it to the dispatching process to see the change at its next poll."""


def _nobody_to_start() -> None:
    """Leave it to the dispatching process to find the replay at its next poll."""


def _waking(storage: Storage, dispatcher: Dispatcher | None) -> Callable[[], None]:
    """Return what tells all who dispatch that something is due."""

    def wake() -> None:
        if dispatcher:
            dispatcher.sending.wake()
        storage.waking.wake()

    return wake


def _cursor_key(settings: Settings) -> bytes:
    """Return what the cursors of pages are sealed under."""
    return hmac.digest(settings.db_encryption_secret.encode(), b"cursors/v1", "sha256")
