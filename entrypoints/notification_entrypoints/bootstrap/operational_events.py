"""Operational events: who publishes them to webhooks of the platform, and where."""

from contextlib import AbstractAsyncContextManager, nullcontext

from notification_core.ingest.ingest import Ingest
from notification_core.ingest.operational_events import OperationalEventPublisher
from notification_core.ports.clock import Clock
from notification_core.ports.observer import Observer
from notification_core.ports.storage import Storage
from notification_entrypoints.config.settings import Settings
from notification_entrypoints.serving.background import in_background


def publish_operational_events(
    settings: Settings, storage: Storage, ingest: Ingest, clock: Clock, observer: Observer
) -> AbstractAsyncContextManager[object]:
    """Publish them for the length of the block, if the settings name an environment for it."""
    environment_id = settings.operational_webhook_environment
    if environment_id is None:
        return nullcontext()
    publisher = OperationalEventPublisher(
        environment_id=environment_id,
        deliveries=storage.deliveries,
        ingest=ingest,
        clock=clock,
        observer=observer,
        poll_interval=settings.webhooks.poll_interval,
    )
    return in_background(publisher.run())
