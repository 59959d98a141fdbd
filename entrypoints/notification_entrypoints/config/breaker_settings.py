"""The settings of the circuit breaker: of the group of webhooks."""

# ruff: noqa: RUF009 - the calls in the class bodies make attrs fields, as attrs.field() does

from datetime import timedelta

from attrs import frozen

from notification_entrypoints.config.parsers import TIME, whole
from notification_entrypoints.config.variables import setting


@frozen(kw_only=True)
class BreakerSettings:
    """When webhooks are paused since they keep failing, and how often they are tried meanwhile."""

    breaker_failures: int = setting(
        whole(0, 1_000_000),
        "10",
        "A webhook is paused after this many failed attempts in a row; 0 pauses none.",
    )
    breaker_pause: timedelta = setting(
        TIME,
        "10s",
        "How long after a webhook is paused one of its deliveries is tried; each time that fails, "
        "the next waits twice as long.",
    )
    breaker_max_pause: timedelta = setting(
        TIME, "5m", "The longest time between two tries of a webhook that is paused."
    )
    breaker_hold: timedelta = setting(
        TIME, "24h", "How long a delivery waits for a paused webhook before it has failed."
    )
