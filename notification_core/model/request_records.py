"""What is kept of a request beside its effect: its answer, and who made it.

It is written in the effect's own transaction, so that neither is there without the other. A use
case with an effect takes what is to be kept, or a ``keep`` that makes it of what was done; its
store writes it with the rest.
"""

from collections.abc import Callable, Sequence
from typing import TypeAlias, TypeVar

from notification_core.model.audit import AuditEntry
from notification_core.model.idempotency import KeptAnswer

RequestRecords: TypeAlias = Sequence[KeptAnswer | AuditEntry]
"""What a store writes with an effect."""

_Outcome = TypeVar("_Outcome")

RecordsOf: TypeAlias = Callable[[_Outcome], RequestRecords]
"""Makes what is to be kept of what a use case did, before it is committed.

For an effect that no transaction can hold it is given None first: what it makes of that is
committed before the effect begins, and keeps the request from having it again.
"""


def records_for(keep: RecordsOf[_Outcome] | None, outcome: _Outcome) -> RequestRecords:
    """Return what is to be kept of an outcome: nothing where nobody asked for it."""
    return () if keep is None else keep(outcome)
