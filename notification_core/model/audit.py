"""The audit log: who changed what, when, and from where."""

from datetime import datetime
from uuid import UUID

from attrs import frozen


@frozen
class AuditEntry:
    """One change that somebody made.

    ``actor`` is the caller's name, ``address`` where the request came from, ``action`` the
    operation, ``subject`` the id of what was changed. ``environment_id`` is None for what is the
    installation's: its API keys.
    """

    entry_id: UUID
    at: datetime
    actor: str
    address: str
    action: str
    subject: str
    request_id: str
    environment_id: UUID | None = None
