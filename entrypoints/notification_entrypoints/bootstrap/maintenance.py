"""What a dispatching process does beside sending, as the settings say."""

from collections.abc import Callable
from uuid import UUID

from notification_core.dispatch.dispatcher import Maintenance
from notification_core.environments.erasures import ErasureRunner
from notification_core.maintenance.lease_reaper import LeaseReaper
from notification_core.maintenance.retention_sweeper import RetentionSweeper
from notification_core.ports.clock import Clock
from notification_core.ports.observer import Observer
from notification_core.ports.storage import Storage
from notification_core.replays.replay_runner import ReplayRunner
from notification_entrypoints.config.policies import reaper_rules, retention_rules
from notification_entrypoints.config.settings import Settings


def make_maintenance(
    settings: Settings,
    storage: Storage,
    clock: Clock,
    observer: Observer,
    erased: Callable[[UUID], None],
) -> Maintenance:
    """Put maintenance together; ``erased`` is called with environments that have been erased."""
    return Maintenance(
        LeaseReaper(storage, clock, observer, reaper_rules(settings)),
        ReplayRunner(storage.replays, observer),
        RetentionSweeper(storage.retention, clock, retention_rules(settings)),
        ErasureRunner(storage.erasures, observer, erased),
    )
