"""The batched steps on PostgreSQL: this module is what ``Steps`` asks for."""

from notification_adapters.sql.postgres.attempt_results import (
    end,
    give_back,
    held,
    leased,
    log,
    overdue,
    owners,
    succeed,
)
from notification_adapters.sql.postgres.claims import begin, look, waiting
from notification_adapters.sql.postgres.counts import counts
from notification_adapters.sql.postgres.erasures import publishing
from notification_adapters.sql.postgres.events import add_deliveries, add_events
from notification_adapters.sql.postgres.unsendable import (
    blocked,
    cancel_begun,
    settle,
    unsendable,
    waiting_of,
)
from notification_adapters.sql.postgres.webhook_queries import (
    changes,
    webhook,
    webhook_row,
    webhooks_by_id,
    webhooks_of,
)

__all__ = [
    "add_deliveries",
    "add_events",
    "begin",
    "blocked",
    "cancel_begun",
    "changes",
    "counts",
    "end",
    "give_back",
    "held",
    "leased",
    "log",
    "look",
    "overdue",
    "owners",
    "publishing",
    "settle",
    "succeed",
    "unsendable",
    "waiting",
    "waiting_of",
    "webhook",
    "webhook_row",
    "webhooks_by_id",
    "webhooks_of",
]
