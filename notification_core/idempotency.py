"""Requests that their callers may send again: their effect is had once, their answer kept.

The answer is written in the transaction of the effect, so that neither is there without the
other. A use case with such an effect takes a ``keep``, which makes the answer to be kept of what
it did; its store takes that answer, and writes it with the rest.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TypeAlias, TypeVar
from uuid import UUID

from attrs import field, frozen

KEPT_FOR = timedelta(hours=24)
"""How long the same request is given the same answer."""


@frozen
class KeptAnswer:
    """What a request was answered.

    ``request`` names it: a digest of its caller, its route and the key that the caller gave it.
    ``fingerprint`` is a digest of what it asked for. ``answer`` is for whoever wrote it to read.
    """

    environment_id: UUID
    request: str
    fingerprint: str
    answer: bytes = field(repr=False)
    answered_at: datetime


_Outcome = TypeVar("_Outcome")

Keep: TypeAlias = Callable[[_Outcome], KeptAnswer]
"""Makes the answer to be kept of what a use case did, before it is committed."""
