"""Requests that their callers may send again: their effect is had once, their answer kept.

How an answer is written together with its effect is in
:mod:`notification_core.model.request_records`.
"""

from datetime import datetime, timedelta
from uuid import UUID

from attrs import field, frozen

KEPT_FOR = timedelta(hours=24)
"""How long the same request is given the same answer."""


@frozen
class KeptAnswer:
    """What a request was answered.

    ``request`` names it: a digest of its caller, its route and the key that the caller gave it.
    ``fingerprint`` is a digest of what it asked for. ``answer`` is for whoever wrote it to read; it
    is empty as long as the effect has begun and has not ended, or if it never did.
    """

    environment_id: UUID
    request: str
    fingerprint: str
    answer: bytes = field(repr=False)
    answered_at: datetime
