"""What is written of a request beside its effect: its response, and who made the change.

It is written in the effect's own transaction, so that neither is there without the other. A use
case with an effect takes the records, or a ``make_records`` that makes them of what was done; its
store writes them with the rest. Requests that their callers may send again have their effect once,
and their response is kept.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import TypeAlias, TypeVar
from uuid import UUID

from attrs import field, frozen

KEPT_FOR = timedelta(hours=24)
"""How long the same request is given the same response."""


@frozen
class AuditEntry:
    """One change that somebody made.

    ``actor`` is the caller's name, ``address`` where the request came from, ``action`` the
    operation, ``subject`` the id of what was changed. ``environment_id`` is None for what is the
    installation's: its API keys, its dead letters.
    """

    entry_id: UUID
    at: datetime
    actor: str
    address: str
    action: str
    subject: str
    request_id: str
    environment_id: UUID | None = None


@frozen
class StoredResponse:
    """What a request was answered.

    ``environment_id`` is None for one that is about none. ``request`` names it: a digest of its
    caller, its route and the key that the caller gave it.
    ``fingerprint`` is a digest of what it asked for. ``answer`` is for whoever wrote it to read; it
    is empty as long as the effect has begun and has not ended, or if it never did.
    """

    environment_id: UUID | None
    request: str
    fingerprint: str
    response: bytes = field(repr=False)
    responded_at: datetime


RequestRecords: TypeAlias = Sequence[StoredResponse | AuditEntry]
"""What a store writes with an effect."""

_Outcome = TypeVar("_Outcome")

RecordsOf: TypeAlias = Callable[[_Outcome], RequestRecords]
"""Makes what is to be kept of what a use case did, before it is committed.

For an effect that no transaction can hold it is given None first: what it makes of that is
committed before the effect begins, and keeps the request from having it again.
"""


def records_for(make_records: RecordsOf[_Outcome] | None, outcome: _Outcome) -> RequestRecords:
    """Return what is to be kept of an outcome: nothing if it was not asked for."""
    return () if make_records is None else make_records(outcome)
