"""What a scan of the queues finds: webhooks that have deliveries waiting, and when they may go."""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from notification_core.model.circuit_breaker import ProbeSchedule
from notification_core.model.rate_limit import opens_at


class Queue(NamedTuple):
    """A webhook that has waiting deliveries, and when the first of them is due.

    ``probes`` is there while the webhook is paused. ``next_at`` is for one with a rate limit: when
    its next request may be made.
    """

    webhook_id: UUID
    due_at: datetime
    is_deleted: bool
    disabled_until: datetime | None
    rate_limit: int | None = None
    next_at: datetime | None = None
    probes: ProbeSchedule | None = None

    def ready_at(self, now: datetime) -> datetime:
        """Return when the first of its deliveries may be claimed."""
        ready_at = self.due_at if self.probes is None else max(self.due_at, self.probes.ready_at())
        return ready_at if self.rate_limit is None else max(ready_at, opens_at(self.next_at, now))

    def may_probe_fresh(self, now: datetime) -> bool:
        """Tell whether a delivery stored since it was paused may be probed before its turn."""
        may_be_sent = self.rate_limit is None or opens_at(self.next_at, now) <= now
        return may_be_sent and self.probes is not None and self.probes.may_probe_fresh(now)

    def may_be_sent_to(self, now: datetime) -> bool:
        """Tell whether a delivery may be sent at this moment."""
        is_disabled = self.disabled_until is not None and now < self.disabled_until
        return not self.is_deleted and not is_disabled
