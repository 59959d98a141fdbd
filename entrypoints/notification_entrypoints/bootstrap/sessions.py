"""Sessions of browsers, as the settings say."""

import os
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from uuid import UUID

from notification_core.access.console_sessions import ConsoleSessionService
from notification_core.access.portal_sessions import PortalSessionService
from notification_core.model.session_token import SECRET_BYTES
from notification_core.ports.clock import Clock
from notification_core.ports.credentials import CredentialScheme
from notification_core.ports.storage import Storage
from notification_entrypoints.config.settings import Settings

_secret = partial(os.urandom, SECRET_BYTES)


def portal_sessions(
    storage: Storage,
    require_environment: Callable[[UUID], Awaitable[None]],
    clock: Clock,
    ids: Callable[[], UUID],
) -> PortalSessionService:
    """Return the sessions of customers in the portal of their environment."""
    store = storage.portal_sessions
    return PortalSessionService(store, require_environment, clock, ids, _secret)


def console_sessions(
    settings: Settings,
    storage: Storage,
    clock: Clock,
    ids: Callable[[], UUID],
    schemes: Sequence[CredentialScheme] | None,
) -> ConsoleSessionService:
    """Return the sessions of those who sign in to the console with one of the credentials."""
    lasts = settings.console.session_lifetime
    return ConsoleSessionService(
        storage.console_sessions, clock, ids, _secret, lasts, schemes or ()
    )
