"""What the command line shows of a webhook beside its fields: its state, and its event types."""

from datetime import UTC, datetime

import msgspec

from notification_entrypoints.cli.terminal import style


class _Health(msgspec.Struct, frozen=True):
    state: str = "healthy"
    consecutive_failures: int = 0
    next_probe_at: str | None = None


class ListedWebhook(msgspec.Struct):
    """A webhook, as far as this looks at it."""

    webhook_id: str
    name: str
    method: str
    url: str
    events: list[str]
    disabled_until: str | None = None
    disabled_reason: str | None = None
    health: _Health = _Health()
    unknown_events: list[str] = []


def events_of(webhook: ListedWebhook) -> str:
    """Return its event types, those that are in no catalogue marked."""
    unknown = set(webhook.unknown_events)
    return ", ".join(f"{name} (unknown)" if name in unknown else name for name in webhook.events)


def state_of(webhook: ListedWebhook) -> str:
    """Return whether it is sent to, and why if it is not."""
    until = webhook.disabled_until
    if until is None or datetime.fromisoformat(until) <= datetime.now(UTC):
        return _active_state(webhook.health)
    reason = f" ({webhook.disabled_reason})" if webhook.disabled_reason else ""
    end = "" if until.startswith("9999-") else f" until {style().short_time(until)}"
    return f"disabled{end}{reason}"


def _active_state(health: _Health) -> str:
    if health.state == "healthy":
        return "active"
    state = f"{health.state} ({health.consecutive_failures} failures in a row"
    if health.next_probe_at is None:
        return f"{state})"
    return f"{state}, next try {style().short_time(health.next_probe_at)})"
