"""Wiring: which adapter stands behind which port, and how the use cases are put together."""

import asyncio
import hmac
import os
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import timedelta

from attrs import frozen

from notification_adapters.clock import SystemClock
from notification_adapters.memory.environments import EveryEnvironment
from notification_adapters.project_management import ProjectManagementApi
from notification_adapters.sql import SqlStorage
from notification_core.api_keys import SECRET_BYTES
from notification_core.authentication import StoredKeys
from notification_core.catalogue import CATALOGUE
from notification_core.deliver import Deliver, DeliveryRules
from notification_core.dispatch import Dispatcher, DispatchRules
from notification_core.environments import Environments
from notification_core.errors import WorkerLockTaken
from notification_core.ids import IdGenerator
from notification_core.ingest import Ingest
from notification_core.issuing import Issuing
from notification_core.keyring import Keyring
from notification_core.lanes import Bounds
from notification_core.ports.clock import Clock
from notification_core.ports.credentials import Credentials
from notification_core.ports.environments import EnvironmentDirectory
from notification_core.queues import FullQueues
from notification_core.replaying import Replaying
from notification_core.replays import Replays
from notification_core.retrying import RetryPolicy
from notification_core.signatures import Signatures
from notification_core.subscriptions import Subscriptions, WebhookRules
from notification_core.trials import Trials
from notification_core.upkeep import Upkeep, UpkeepRules
from notification_core.verification_keys import VerificationKeys
from notification_entrypoints.credentials import accepted_credentials
from notification_entrypoints.metrics import Metrics
from notification_entrypoints.senders import chosen_sender
from notification_entrypoints.settings import Settings
from notification_entrypoints.signers import fastest_signer
from notification_entrypoints.storages import open_storage

SEED_BYTES = 32
_STOP_MARGIN = timedelta(seconds=3)


@frozen
class Service:
    """The use cases of one process, ready to be offered over HTTP or called.

    ``dispatcher`` is None where another process already dispatches from the same storage.
    """

    clock: Clock
    ids: IdGenerator
    storage: SqlStorage
    verification_keys: VerificationKeys
    issuing: Issuing
    credentials: Sequence[Credentials] | None
    subscriptions: Subscriptions
    replays: Replays
    trials: Trials
    ingest: Ingest
    dispatcher: Dispatcher | None


@asynccontextmanager
async def open_service(settings: Settings, watch: Metrics) -> AsyncIterator[Service]:
    """Open storage and sender, begin to dispatch, and end it all in the opposite order."""
    clock = SystemClock()
    ids = IdGenerator(clock)
    async with AsyncExitStack() as stack:
        storage = await stack.enter_async_context(open_storage(settings, clock, ids))
        keyring = Keyring(storage.keys, clock, _new_seed)
        deliver = await stack.enter_async_context(_delivering(settings, clock, ids))
        dispatcher = await stack.enter_async_context(
            _dispatching(settings, storage, deliver, keyring, clock, ids, watch)
        )
        taker = dispatcher.sending if dispatcher else None
        full = await stack.enter_async_context(_full_queues(settings, storage, clock, watch))
        ingest = Ingest(
            storage.deliveries, clock, ids, watch, taker, storage.waking, full=full.webhooks
        )
        stack.push_async_callback(ingest.settled)
        directory = environment_directory(settings)
        stack.push_async_callback(directory.close)
        environments = Environments(directory, clock)
        keys = VerificationKeys(storage.keys, keyring, environments, clock, _new_seed)
        subscriptions = Subscriptions(
            storage.webhooks,
            clock,
            ids,
            webhook_rules(settings),
            environments,
            dispatcher.changed if dispatcher else _nobody_to_tell,
        )
        replays = _replays(storage, clock, ids, dispatcher)
        trials = Trials(
            store=storage.trials,
            webhooks=storage.webhooks,
            keyring=keyring,
            deliver=deliver,
            clock=clock,
            ids=ids,
            observer=watch,
            lease=settings.webhooks_lease,
        )
        stack.push_async_callback(trials.settled)
        api_keys = StoredKeys(storage.api_keys, clock)
        yield Service(
            clock=clock,
            ids=ids,
            storage=storage,
            verification_keys=keys,
            issuing=Issuing(storage.api_keys, clock, ids, _new_secret, api_keys.forget),
            credentials=accepted_credentials(settings, api_keys),
            subscriptions=subscriptions,
            replays=replays,
            trials=trials,
            ingest=ingest,
            dispatcher=dispatcher,
        )


@asynccontextmanager
async def _full_queues(
    settings: Settings, storage: SqlStorage, clock: Clock, watch: Metrics
) -> AsyncIterator[FullQueues]:
    """Keep an eye on the queues for the length of the block."""
    most = settings.webhooks_max_pending_per_webhook
    full = FullQueues(storage.backlog, clock, watch, most)
    looking = asyncio.create_task(full.run())
    try:
        yield full
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)


def _replays(
    storage: SqlStorage, clock: Clock, ids: IdGenerator, dispatcher: Dispatcher | None
) -> Replays:
    return Replays(
        store=storage.replays,
        history=storage.history,
        webhooks=storage.webhooks,
        clock=clock,
        ids=ids,
        wake=_waking(storage, dispatcher),
        started=dispatcher.replay if dispatcher else _nobody_to_start,
    )


@asynccontextmanager
async def _delivering(settings: Settings, clock: Clock, ids: IdGenerator) -> AsyncIterator[Deliver]:
    """Make attempts for the length of the block."""
    sender = chosen_sender(settings)
    signatures = Signatures(settings.signature_headers, fastest_signer())
    try:
        yield Deliver(sender, signatures, clock, ids, delivery_rules(settings), random.random)
    finally:
        await sender.close()


@asynccontextmanager
async def _dispatching(  # noqa: PLR0913, PLR0917 - what a dispatcher is made of
    settings: Settings,
    storage: SqlStorage,
    deliver: Deliver,
    keyring: Keyring,
    clock: Clock,
    ids: IdGenerator,
    watch: Metrics,
) -> AsyncIterator[Dispatcher | None]:
    """Dispatch for the length of the block; of a SQLite file only one process can."""
    worker = ids()
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
        upkeep=Upkeep(
            deliveries=storage.deliveries,
            webhooks=storage.webhooks,
            idempotency=storage.idempotency,
            lock=storage.worker_lock,
            clock=clock,
            observer=watch,
            rules=upkeep_rules(settings),
        ),
        lock=storage.worker_lock,
        waking=storage.waking,
        clock=clock,
        observer=watch,
        rules=dispatch_rules(settings),
        new_worker=ids,
    )
    watch.watch(in_flight=lambda: dispatcher.in_flight, waiting=lambda: dispatcher.waiting)
    await dispatcher.start()
    try:
        yield dispatcher
    finally:
        # Storage may be away for longer than a stop may take: what is not written by then is
        # known by its lease, and freed by the next start.
        with suppress(TimeoutError):
            async with asyncio.timeout(_longest_stop(settings).total_seconds()):
                await dispatcher.stop()
        await storage.worker_lock.release()


def environment_directory(settings: Settings) -> EnvironmentDirectory:
    """Return who knows the environments; without a URI all of them are taken to exist."""
    uri = settings.project_management_api_uri
    return ProjectManagementApi(uri) if uri else EveryEnvironment()


def _new_secret() -> bytes:
    return os.urandom(SECRET_BYTES)


def _new_seed() -> bytes:
    return os.urandom(SEED_BYTES)


def _longest_stop(settings: Settings) -> timedelta:
    return settings.webhooks_write_timeout + _STOP_MARGIN


def _nobody_to_tell(changes: int) -> None:
    """Leave it to the dispatching process to see the change at its next poll."""


def _nobody_to_start() -> None:
    """Leave it to the dispatching process to find the replay at its next poll."""


def _waking(storage: SqlStorage, dispatcher: Dispatcher | None) -> Callable[[], None]:
    """Return what tells all who dispatch that something is due."""

    def wake() -> None:
        if dispatcher:
            dispatcher.sending.wake()
        storage.waking.wake()

    return wake


def cursor_key(settings: Settings) -> bytes:
    """Return what the cursors of pages are sealed under."""
    return hmac.digest(settings.db_encryption_secret.encode(), b"cursors/v1", "sha256")


def webhook_rules(settings: Settings) -> WebhookRules:
    """Return what the settings say of webhooks."""
    return WebhookRules(
        destinations=settings.destinations,
        reserved_headers=settings.signature_headers.names,
        event_types=CATALOGUE.keys(),
        max_webhooks=settings.webhooks_max_per_environment,
    )


def delivery_rules(settings: Settings) -> DeliveryRules:
    """Return what the settings say of attempts."""
    return DeliveryRules(
        timeout=settings.webhooks_write_timeout,
        retries=RetryPolicy(
            max_retries=settings.webhooks_max_retries,
            interval=settings.webhooks_retry_interval,
            backoff=settings.webhooks_retry_backoff,
            retry_after_max=settings.webhooks_retry_after_max,
        ),
    )


def dispatch_rules(settings: Settings) -> DispatchRules:
    """Return what the settings say of dispatching."""
    return DispatchRules(
        bounds=Bounds(
            in_flight=settings.webhooks_max_in_flight,
            per_webhook=settings.webhooks_max_in_flight_per_webhook,
        ),
        lease=settings.webhooks_lease,
        poll_interval=settings.webhooks_poll_interval,
    )


def upkeep_rules(settings: Settings) -> UpkeepRules:
    """Return what the settings say of how long things last."""
    return UpkeepRules(
        interruption_delay=settings.webhooks_retry_interval,
        disable_after=settings.webhooks_disable_after,
        expire_after=settings.retention_events,
    )
