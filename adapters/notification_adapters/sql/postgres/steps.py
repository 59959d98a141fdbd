"""The batched steps on PostgreSQL: this module is what ``Steps`` asks for."""

from notification_adapters.sql.postgres.claiming import begin, look, waiting
from notification_adapters.sql.postgres.counting import counts
from notification_adapters.sql.postgres.ending import (
    end,
    give_back,
    held,
    leased,
    log,
    overdue,
    owners,
    succeed,
)
from notification_adapters.sql.postgres.erasing import publishing
from notification_adapters.sql.postgres.ingesting import add_deliveries, add_events
from notification_adapters.sql.postgres.reading import (
    changes,
    webhook,
    webhook_row,
    webhooks_by_id,
    webhooks_of,
)
from notification_adapters.sql.postgres.settling import (
    blocked,
    cancel_begun,
    settle,
    unsendable,
    waiting_of,
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
