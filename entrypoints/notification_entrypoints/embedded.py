"""Inside another asyncio service: publish, manage webhooks and deliver, without a server.

::

    chosen = settings(DB_URI="sqlite:///events.sqlite", DB_ENCRYPTION_SECRET=secret)
    await migrate(chosen)
    async with open_notifications(chosen) as notifications:
        event = notifications.event(environment_id, "job-completed", {"status": "succeeded"})
        await notifications.publish([event])

Nothing here is global: several may be open in one process. No signal is handled, no logging set
up, no variable of the environment read.
"""

import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

import msgspec
from aiohttp import web
from attrs import evolve

from notification_adapters.event_formats.catalogue import catalogue_of
from notification_adapters.event_formats.event_json import read_event
from notification_adapters.sql import HostConnection
from notification_core.access.portal_sessions import PortalSessionService
from notification_core.environments.erasures import ErasureService
from notification_core.errors import Detail, InvalidInput, InvalidSettings
from notification_core.ingest.ingest import Published
from notification_core.ingest.ingest_spans import with_trace
from notification_core.model.event import Event, Source
from notification_core.ports.history import History
from notification_core.ports.logs import LogStore
from notification_core.ports.tracer import SpanKind
from notification_core.replays.replays import ReplayService
from notification_core.signing.rotation import SigningKeyService
from notification_core.version import VERSION
from notification_core.webhooks.filter_trials import FilterTrials
from notification_core.webhooks.signing_secrets import SigningSecretService
from notification_core.webhooks.webhook_tester import WebhookTester
from notification_core.webhooks.webhooks import WebhookDraft, WebhookService
from notification_entrypoints.api.app import api_app
from notification_entrypoints.bootstrap import storage
from notification_entrypoints.bootstrap.application import (
    NO_OVERRIDES,
    AdapterOverrides,
    Application,
    open_application,
)
from notification_entrypoints.config.report import unknown_variables
from notification_entrypoints.config.settings import Settings, load_settings
from notification_entrypoints.observability.metrics import Metrics

__all__ = [
    "AdapterOverrides",
    "Notifications",
    "WebhookDraft",
    "migrate",
    "open_notifications",
    "settings",
]

_DEFAULTS: Final = MappingProxyType(
    {
        # Where the host listens is unknown here. As for any public address, API_AUTH then has
        # no default.
        "API_SERVER_HOST": "0.0.0.0",  # noqa: S104 - nothing listens on it
        "KAFKA_BROKERS": "",
        "PROJECT_MANAGEMENT_API_URI": "",
    }
)
_logger = logging.getLogger(__name__)
_POLL_SECONDS: Final = 0.01


def settings(catalogue: Mapping[str, Any] | None = None, /, **variables: str) -> Settings:
    """Return the settings that these variables make; what is left out has its default.

    A ``catalogue`` is what the file of EVENT_CATALOGUE would hold, as a value. A variable that is
    not a setting is logged as a warning. Raises :class:`InvalidSettings`, which names each variable
    that is wrong, and :class:`InvalidInput` for what is no catalogue.
    """
    for unknown in unknown_variables(variables):
        _logger.warning("%s", unknown.message)
    loaded = load_settings(variables, _DEFAULTS)
    if catalogue is None:
        return loaded
    return evolve(loaded, event=evolve(loaded.event, catalogue=catalogue_of(catalogue)))


async def migrate(chosen: Settings) -> None:
    """Bring the schema at ``DB_URI`` up to this version; done again it changes nothing."""
    await storage.migrate(chosen)


@asynccontextmanager
async def open_notifications(
    chosen: Settings, overrides: AdapterOverrides = NO_OVERRIDES
) -> AsyncIterator["Notifications"]:
    """Have notifications published and delivered for the length of the block.

    ``overrides`` replace what the settings choose: a storage in memory, a scripted
    sender and a manual clock for tests, or a process that only publishes. Raises
    :class:`IncompatibleSchema` where the database was not migrated, :class:`StorageUnusable`,
    :class:`StorageUnavailable` and :class:`WrongEncryptionSecret`.
    """
    metrics = Metrics(VERSION, "", chosen.pod_name)
    async with open_application(chosen, metrics, overrides) as application:
        yield Notifications(application)


class Notifications:
    """What a host can do; made by :func:`open_notifications`."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._ingest = application.ingests[Source.PYTHON]

    @property
    def metrics(self) -> Metrics:
        """What this process counts."""
        return self._application.metrics

    @property
    def webhooks(self) -> WebhookService:
        """The webhooks of environments: list, create, get, replace, change, delete."""
        return self._application.webhooks

    @property
    def verification_keys(self) -> SigningKeyService:
        """The keys by which receivers verify: those to trust, and their rotation."""
        return self._application.signing_keys

    @property
    def history(self) -> History:
        """What happened to events and deliveries."""
        return self._application.storage.history

    @property
    def logs(self) -> LogStore:
        """The webhook log: every attempt that has ended."""
        return self._application.storage.logs

    @property
    def replays(self) -> ReplayService:
        """Delivering again what was delivered, skipped or failed."""
        return self._application.replays

    @property
    def webhook_tester(self) -> WebhookTester:
        """Sending an example now."""
        return self._application.webhook_tester

    @property
    def filter_trials(self) -> FilterTrials:
        """Trying a filter on the events that are stored."""
        return self._application.filter_trials

    @property
    def signing_secrets(self) -> SigningSecretService:
        """Secrets that a webhook's requests are signed with, beside the environment's keys."""
        return self._application.signing_secrets

    @property
    def portal_sessions(self) -> PortalSessionService:
        """Customers in the portal of their environment."""
        return self._application.portal_sessions

    @property
    def erasures(self) -> ErasureService:
        """Erasing all that is stored of an environment."""
        return self._application.erasures

    def event(  # noqa: PLR0913 - what an event has, most of it by name and optional
        self,
        environment_id: UUID,
        event_type: str,
        data: Mapping[str, Any],
        *,
        event_id: str | None = None,
        occurred_at: datetime | None = None,
        ordering_key: str | None = None,
    ) -> Event:
        """Return an event that may be published, which happened now unless it says otherwise.

        Publishing the same ``event_id`` again sends nothing; without one the event gets an id of
        its own. Events with the same ``ordering_key`` reach a webhook that is ``ordered`` one after
        another. Raises :class:`InvalidEvent`, which names what is wrong, :class:`TooLarge`, and
        :class:`InvalidInput` for data that are no JSON.
        """
        fields = {"event": event_type, "data": data}
        if event_id is not None:
            fields["event_id"] = event_id
        if occurred_at is not None:
            fields["occurred_at"] = occurred_at.isoformat()
        if ordering_key is not None:
            fields["ordering_key"] = ordering_key
        try:
            body = msgspec.json.encode(fields)
        except (TypeError, ValueError) as error:
            raise InvalidInput(f"The data cannot be written as JSON: {error}.") from error
        return read_event(
            body,
            environment_id=environment_id,
            now=self._application.clock.now(),
            zone=self._application.settings.tz,
            catalogue=self._application.settings.event.catalogue,
            make_event_id=lambda: str(self._application.ids()),
        )

    async def publish(
        self, events: Sequence[Event], *, connection: HostConnection | None = None
    ) -> Sequence[Published]:
        """Publish events, all or nothing; return what happened to each.

        With a ``connection`` they are part of the transaction that is open on it, or that this
        begins: they are sent if and only if it commits. Raises :class:`InvalidEvent` for data that
        is rejected (EVENT_VALIDATION; nothing was stored), :class:`TooManyDeliveries`,
        :class:`StorageUnavailable`, and for a connection to anything but the same database
        :class:`StorageUnusable`; the transaction is then to be rolled back.
        """
        tracer = self._application.tracer
        if not tracer.is_on:
            return await self._publish(events, connection)
        given, count = tracer.current(), {"messaging.batch.message_count": len(events)}
        with tracer.start("publish", SpanKind.PRODUCER, given, count) as span:
            traced = with_trace(events, given or span.traceparent)
            return await self._publish(traced, connection)

    async def _publish(
        self, events: Sequence[Event], connection: HostConnection | None
    ) -> Sequence[Published]:
        validation = self._application.validation
        misfits = validation.misfits(events)
        await validation.check(events, misfits, single=len(events) == 1)
        if connection is None:
            published = await self._ingest.publish(events)
        else:
            stores = self._application.storage
            async with stores.join(connection) as transaction:
                joined = await self._ingest.join(transaction, events)
            stores.after_commit(connection, joined.committed)
            published = joined.published
        validation.count_stored(events, misfits, published)
        return published

    async def drain(self) -> None:
        """Return once this process has nothing in hand, for a script that is about to end.

        What it took has then been delivered or failed, or waits in storage for its next attempt.
        """
        dispatcher = self._application.dispatcher
        while dispatcher and not dispatcher.runner.idle:
            await self._application.clock.sleep(_POLL_SECONDS)

    def api(self) -> web.Application:
        """Return the HTTP API, to be mounted below a prefix (``app.add_subapp``).

        ``API_AUTH`` chooses its authentication: "none" leaves it to the host. Raises
        :class:`InvalidSettings` if it is not set.
        """
        if not self._application.settings.api.auth:
            problem = "API_AUTH must say who may call the API: api_key, or none if the host does"
            raise InvalidSettings(f"{problem}.", [Detail("API_AUTH", problem)])
        return api_app(self._application, prefix="")
