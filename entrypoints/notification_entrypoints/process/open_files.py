"""The limit of open files, which connections count against, and what the settings need of it."""

import resource
from contextlib import suppress

from notification_adapters.http.native.pool import MAX_IDLE
from notification_entrypoints.config.settings import Settings

_OTHERS = 64
"""The log, the loop, the database's files, the name servers, the ops server's callers, Kafka."""

_MOST_CONNECTIONS = 10_000
_UNLIMITED = 2**31


def raise_limit() -> None:
    """Raise the soft limit of open files to the hard one, as far as the system lets it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def most_connections(settings: Settings) -> int:
    """Return how many connections the API server may have.

    If nothing is set, that is what sending and storage leave, and at least half of all.
    """
    if settings.api.server_max_connections:
        return settings.api.server_max_connections
    limit = _limit()
    left = limit - _needed(settings, dispatches=True)
    return min(_MOST_CONNECTIONS, max(1, limit // 2, left))


def shortfall(settings: Settings, *, dispatches: bool, has_api: bool) -> str | None:
    """Say what to set if the settings may need more open files than there may be; None if not."""
    limit, needed = _limit(), _needed(settings, dispatches=dispatches)
    lower = "WEBHOOKS_MAX_IN_FLIGHT" if dispatches else "DB_POOL_SIZE"
    if has_api:
        needed += most_connections(settings)
        lower += " and API_SERVER_MAX_CONNECTIONS"
    if needed <= limit:
        return None
    return (
        f"The limit of open files is {limit}, but these settings may need {needed}: raise the hard "
        f"limit (ulimit -Hn, LimitNOFILE of systemd) to that, or lower {lower}."
    )


def _limit() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _UNLIMITED if soft == resource.RLIM_INFINITY else soft


def _needed(settings: Settings, *, dispatches: bool) -> int:
    """Return how many the settings ask for at most, those of the API server left out."""
    sending = settings.webhooks.max_in_flight + MAX_IDLE if dispatches else 0
    return _OTHERS + settings.db.pool_size + sending
