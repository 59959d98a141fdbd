"""The use cases of one process, put together for tests: the one place that knows constructors."""

from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from datetime import timedelta
from functools import cached_property
from itertools import count
from typing import Any, Final, Self
from uuid import UUID

from attrs import define, evolve, field

from notification_adapters.event_formats.catalogue import operational_catalogue
from notification_adapters.event_formats.data_schemas import DataSchemas
from notification_adapters.event_formats.filter_compiler import JsonSchemaFilterCompiler
from notification_adapters.memory import ManualClock, MemoryStorage, memory_storage
from notification_adapters.memory.sender import ScriptedSender
from notification_adapters.memory.state import StoredDelivery
from notification_adapters.null_objects import EveryEnvironment, NoTracer
from notification_core.access.api_keys import ApiKeyService
from notification_core.access.authentication import StoredKeys
from notification_core.concurrency.ids import IdGenerator
from notification_core.dispatch.attempt import AttemptMaker, DeliveryRules
from notification_core.dispatch.capacity import Bounds
from notification_core.dispatch.dispatcher import Dispatcher, DispatchRules, Maintenance
from notification_core.dispatch.result_writer import ResultRules, ResultWriter
from notification_core.environments.directory import Environments
from notification_core.environments.erasures import ErasureRunner
from notification_core.ingest.consumer import EventConsumer
from notification_core.ingest.data_validation import DataValidation
from notification_core.ingest.dead_letters import DeadLetterReplay
from notification_core.ingest.event_filters import EventFilters
from notification_core.ingest.ingest import Ingest
from notification_core.ingest.plan import DirectDispatch, IngestPlanner
from notification_core.maintenance.lease_reaper import LeaseReaper, ReaperRules
from notification_core.maintenance.outbox_relay import OutboxRelay
from notification_core.maintenance.retention_sweeper import RetentionRules, RetentionSweeper
from notification_core.model.circuit_breaker import BreakerPolicy
from notification_core.model.delivery import Attempt, DeliveryState
from notification_core.model.destinations import DestinationPolicy
from notification_core.model.event import Event, Source
from notification_core.model.event_types import EventCatalogues
from notification_core.model.message import DeadLetter, Message, Topics
from notification_core.model.retry_policy import RetryPolicy
from notification_core.model.webhook import Webhook
from notification_core.ports.clock import Clock
from notification_core.ports.deliveries import DeliveryStore
from notification_core.ports.environments import EnvironmentDirectory
from notification_core.ports.event_source import EventSource
from notification_core.ports.message_sink import MessageSink
from notification_core.ports.outbox import Outbox
from notification_core.ports.sender import HttpRequest
from notification_core.ports.storage import Storage
from notification_core.ports.tracer import Tracer
from notification_core.replays.replay_runner import ReplayRunner
from notification_core.replays.replays import ReplayService
from notification_core.signing.key_cache import SigningKeyCache
from notification_core.signing.rotation import SigningKeyService
from notification_core.signing.signatures import (
    CryptographySigner,
    SignatureCache,
    SignatureHeaders,
)
from notification_core.webhooks.webhook_tester import WebhookTester
from notification_core.webhooks.webhooks import WebhookRules, WebhookService
from tests.support.faulty_stores import Faults, FaultyApiKeys, FaultyDeliveries, FaultyKeys
from tests.support.observers import RecordedResults, RecordingObserver
from tests.support.samples import CATALOGUE, a_webhook, an_event
from tests.support.waiting import advance_until

TIMEOUT: Final = timedelta(seconds=10)
INTERVAL: Final = timedelta(seconds=2)
LEASE: Final = 3 * TIMEOUT
CATALOGUES: Final = EventCatalogues(CATALOGUE, operational_catalogue())
SIGNATURE_HEADERS: Final = SignatureHeaders("X-Signature", "X-Signature-Timestamp")
WEBHOOK_RULES: Final = WebhookRules(
    destinations=DestinationPolicy(),
    reserved_headers=SIGNATURE_HEADERS.names,
    catalogues=CATALOGUES,
    max_webhooks=100_000,
    max_timeout=TIMEOUT,
)
DELIVERY_RULES: Final = DeliveryRules(TIMEOUT, RetryPolicy(max_retries=3, interval=INTERVAL))
DISPATCH_RULES: Final = DispatchRules(
    Bounds(), LEASE, poll_interval=timedelta(seconds=1), breaker=BreakerPolicy(failures=0)
)
REAPER_RULES: Final = ReaperRules(
    interruption_delay=INTERVAL,
    disable_after=timedelta(hours=120),
    expire_after=timedelta(days=30),
)

RETENTION_RULES: Final = RetentionRules(
    logs=timedelta(days=30),
    audit=timedelta(days=30),
    events=timedelta(days=30),
    statistics=timedelta(days=90),
)


def _numbered_secrets() -> Callable[[], bytes]:
    """Return what gives another 32 bytes each time, and the same ones in each test."""
    numbers = count(1)
    return lambda: next(numbers).to_bytes(32, "big")


@define(slots=False, eq=False, kw_only=True)
class App:
    """One process: its use cases over a storage, each built when it is first asked for.

    The use cases have the names that they have in the product's Application. Receivers answer by
    the script of ``sender``, ``observer`` records, and ``faults`` are those of the stores of
    deliveries, signing keys and API keys as this process sees them; ``storage`` itself has none.
    """

    storage: Storage
    clock: Clock = field(factory=ManualClock)
    sender: ScriptedSender = field(factory=ScriptedSender)
    observer: RecordingObserver = field(factory=RecordingObserver)
    faults: Faults = field(factory=Faults)
    directory: EnvironmentDirectory = field(factory=EveryEnvironment)
    tracer: Tracer = field(factory=NoTracer)
    new_secret: Callable[[], bytes] = field(factory=_numbered_secrets)
    webhook_rules: WebhookRules = WEBHOOK_RULES
    delivery_rules: DeliveryRules = DELIVERY_RULES
    reaper_rules: ReaperRules = REAPER_RULES
    retention_rules: RetentionRules = RETENTION_RULES
    dispatch_rules: DispatchRules = DISPATCH_RULES
    jitter: Callable[[], float] = float
    source: Source = Source.HTTP
    direct_dispatch: DirectDispatch | None = None
    full_queues: AbstractSet[UUID] = frozenset()
    rejects: bool = False
    mismatched_types: list[str] = field(init=False, factory=list)
    announced_revisions: list[int] = field(init=False, factory=list)
    wakes: int = field(init=False, default=0)
    replay_starts: int = field(init=False, default=0)

    @cached_property
    def elsewhere(self) -> Self:
        """Another process over the same storage, which only stores."""
        return self.another_process()

    def another_process(self, **changes: Any) -> Self:
        """Return a process over the same storage: nothing built, no faults and no dispatcher."""
        return evolve(self, **{"faults": Faults(), "direct_dispatch": None, **changes})

    # Parts of use cases.

    @cached_property
    def ids(self) -> IdGenerator:
        return IdGenerator(self.clock)

    @cached_property
    def deliveries(self) -> DeliveryStore:
        return FaultyDeliveries(self.storage.deliveries, self.faults)

    @cached_property
    def filters(self) -> EventFilters:
        return EventFilters(JsonSchemaFilterCompiler(), self.clock)

    @cached_property
    def key_cache(self) -> SigningKeyCache:
        return SigningKeyCache(
            FaultyKeys(self.storage.signing_keys, self.faults), self.clock, self.new_secret
        )

    @cached_property
    def environments(self) -> Environments:
        return Environments(self.directory, self.storage.erasures, self.clock)

    @cached_property
    def stored_keys(self) -> StoredKeys:
        return StoredKeys(FaultyApiKeys(self.storage.api_keys, self.faults), self.clock)

    @cached_property
    def attempts(self) -> AttemptMaker:
        signatures = SignatureCache(SIGNATURE_HEADERS, CryptographySigner())
        return AttemptMaker(
            self.sender,
            signatures,
            self.clock,
            self.ids,
            self.delivery_rules,
            self.jitter,
            self.tracer,
        )

    # Use cases.

    @cached_property
    def webhooks(self) -> WebhookService:
        return WebhookService(
            self.storage.webhooks,
            self.clock,
            self.ids,
            self.webhook_rules,
            self.environments,
            self.filters,
            self.announced_revisions.append,
        )

    @cached_property
    def webhook_tester(self) -> WebhookTester:
        return WebhookTester(
            store=self.storage.webhook_tests,
            webhooks=self.storage.webhooks,
            key_cache=self.key_cache,
            attempts=self.attempts,
            clock=self.clock,
            ids=self.ids,
            observer=self.observer,
            catalogues=CATALOGUES,
            lease=LEASE,
        )

    @cached_property
    def signing_keys(self) -> SigningKeyService:
        keys = FaultyKeys(self.storage.signing_keys, self.faults)
        return SigningKeyService(
            keys, self.key_cache, self.environments, self.clock, self.new_secret
        )

    @cached_property
    def api_keys(self) -> ApiKeyService:
        store = FaultyApiKeys(self.storage.api_keys, self.faults)
        return ApiKeyService(
            store, self.clock, self.ids, self.new_secret, self.stored_keys.invalidate
        )

    @cached_property
    def replays(self) -> ReplayService:
        return ReplayService(
            store=self.storage.replays,
            history=self.storage.history,
            webhooks=self.storage.webhooks,
            clock=self.clock,
            ids=self.ids,
            wake=self._count_wake,
            started=self._count_replay_start,
        )

    @cached_property
    def replay_runner(self) -> ReplayRunner:
        return ReplayRunner(self.storage.replays, self.observer)

    @cached_property
    def ingest(self) -> Ingest:
        return Ingest(
            self.deliveries,
            IngestPlanner(self.clock, self.ids, self.filters, self.full_queues, self.tracer.is_on),
            self.observer,
            self.direct_dispatch,
            self.storage.notifier,
            source=self.source,
            tracer=self.tracer,
        )

    @cached_property
    def lease_reaper(self) -> LeaseReaper:
        return LeaseReaper(self.faulty_storage, self.clock, self.observer, self.reaper_rules)

    @cached_property
    def retention_sweeper(self) -> RetentionSweeper:
        return RetentionSweeper(self.storage.retention, self.clock, self.retention_rules)

    @cached_property
    def dispatcher(self) -> Dispatcher:
        return Dispatcher(
            storage=self.faulty_storage,
            attempts=self.attempts,
            key_cache=self.key_cache,
            maintenance=Maintenance(
                self.lease_reaper,
                self.replay_runner,
                self.retention_sweeper,
                ErasureRunner(self.storage.erasures, self.observer, self.key_cache.invalidate),
            ),
            clock=self.clock,
            observer=self.observer,
            rules=self.dispatch_rules,
            worker=self.ids(),
            new_worker=self.ids,
        )

    @cached_property
    def faulty_storage(self) -> Storage:
        """The storage with the faults of its deliveries."""
        storage: Any = self.storage
        faulty: Storage = evolve(storage, deliveries=self.deliveries)
        return faulty

    def result_writer(
        self, listener: RecordedResults, deliveries: DeliveryStore | None = None
    ) -> ResultWriter:
        return ResultWriter(
            store=deliveries or self.deliveries,
            clock=self.clock,
            observer=self.observer,
            rules=ResultRules(INTERVAL, self.dispatch_rules.breaker),
            listener=listener,
        )

    @cached_property
    def validation(self) -> DataValidation:
        validator = DataSchemas(CATALOGUE)
        count = self.mismatched_types.append
        return DataValidation(validator, self.storage.history, count, rejects=self.rejects)

    def consumer(self, source: EventSource, read: Callable[[Message], Event]) -> EventConsumer:
        return EventConsumer(
            source=source,
            ingest=self.ingest,
            read=read,
            validation=self.validation,
            clock=self.clock,
            observer=self.observer,
        )

    def dead_letters(self, read: Callable[[Message], Event]) -> DeadLetterReplay:
        return DeadLetterReplay(self.storage.dead_letters, self.ingest, read, self.validation)

    def outbox_relay(self, sink: MessageSink, outbox: Outbox | None = None) -> OutboxRelay:
        """Return a relay of another worker."""
        return OutboxRelay(
            worker=self.ids(),
            outbox=outbox or self.storage.outbox,
            sink=sink,
            clock=self.clock,
            observer=self.observer,
            poll_interval=timedelta(seconds=1),
        )

    def _count_wake(self) -> None:
        self.wakes += 1

    def _count_replay_start(self) -> None:
        self.replay_starts += 1

    # What tests do over and over.

    async def add_webhook(self, webhook: Webhook | None = None, **changes: Any) -> Webhook:
        """Store a webhook, by default one with no more than these changes to the usual one."""
        webhook = webhook or a_webhook(**changes)
        await self.storage.webhooks.add(webhook, 100_000)
        return webhook

    async def publish(self, count: int = 1) -> None:
        """Publish so many events of the usual type in one call."""
        await self.ingest.publish([an_event() for _ in range(count)])

    def sent_to(self, webhook: Webhook) -> Sequence[HttpRequest]:
        """Return the requests to a webhook."""
        return self.sender.requests_to(webhook.url)

    async def add_dead_letters(self, *values: bytes) -> None:
        """Store messages with these values, one after the other, that could not be read."""
        letters = [
            DeadLetter(Message("t", 0, number, 0, value), "It is not an event.")
            for number, value in enumerate(values)
        ]
        async with self.storage.deliveries.ingesting() as transaction:
            await transaction.add_dead_letters(letters)


@define(slots=False, eq=False, kw_only=True)
class MemoryApp(App):
    """One process over a storage in memory, which tests can look into.

    With ``topics`` the outbox of the storage is filled.
    """

    clock: ManualClock = field(factory=ManualClock)
    topics: Topics | None = None
    storage: MemoryStorage = field()

    @storage.default
    def _new_storage(self) -> MemoryStorage:
        return memory_storage(self.clock, topics=self.topics)

    def another_process(self, **changes: Any) -> Self:
        storage = evolve(
            self.storage,
            worker_lock=self.storage.another_worker_lock(),
            notifier=self.storage.another_notifier(),
        )
        return super().another_process(**{"storage": storage, **changes})

    def with_stores(self, **stores: Any) -> Self:
        """Return this process with other stores instead of these."""
        return evolve(self, storage=evolve(self.storage, **stores))

    async def add_delivery(self, webhook: Webhook) -> StoredDelivery:
        """Store an event with its delivery to a webhook, and the webhook if it is new."""
        if webhook.webhook_id not in self.storage.state.webhooks:
            await self.add_webhook(webhook)
        event = an_event(environment_id=webhook.environment_id)
        await self.elsewhere.ingest.publish([event])
        (stored,) = (row for row in self.stored_deliveries() if row.event_id == event.event_id)
        return stored

    async def until(self, condition: Callable[[], object], within: float = 0) -> None:
        """Return once a condition holds, after at most so many seconds of the clock."""
        await advance_until(condition, self.clock, within=within)

    def stored_deliveries(self, webhook: Webhook | None = None) -> list[StoredDelivery]:
        """Return all deliveries, or those of a webhook."""
        rows = self.storage.state.deliveries.values()
        return [row for row in rows if not webhook or row.webhook_id == webhook.webhook_id]

    def states(self, webhook: Webhook | None = None) -> set[DeliveryState]:
        """Return the states of all deliveries, or of those of a webhook."""
        return {row.state for row in self.stored_deliveries(webhook)}

    def stored_attempts(self) -> Sequence[Attempt]:
        """Return the attempts that were logged, in their order."""
        return [attempt for _, attempt in sorted(self.storage.state.attempts.items())]
