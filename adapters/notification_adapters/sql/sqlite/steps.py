"""The batched steps on SQLite: this module is what ``Steps`` asks for."""

from notification_adapters.sql.sqlite.claiming import begin, look, waiting
from notification_adapters.sql.sqlite.counting import counts
from notification_adapters.sql.sqlite.ending import (
    end,
    give_back,
    held,
    leased,
    log,
    overdue,
    owners,
    succeed,
)
from notification_adapters.sql.sqlite.erasing import publishing
from notification_adapters.sql.sqlite.ingesting import add_deliveries, add_events
from notification_adapters.sql.sqlite.reading import (
    changes,
    webhook,
    webhook_row,
    webhooks_by_id,
    webhooks_of,
)
from notification_adapters.sql.sqlite.settling import (
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
