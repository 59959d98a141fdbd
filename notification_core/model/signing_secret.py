"""Signing secrets: what a webhook's requests are signed with for receivers that know no ``v1a``.

A secret is symmetric (Standard Webhooks, ``v1``): whoever verifies with it can sign with it too.
"""

from base64 import b64encode
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from attrs import evolve, field, frozen

from notification_core.errors import Detail, InvalidInput
from notification_core.model.secret_text import SECRET_PREFIX

MAX_LIVE_SECRETS = 2

OVERLAP = timedelta(hours=24)
"""How long a secret is still signed with once there is a newer one."""


@frozen
class SigningSecret:
    """One secret; ``expires_at`` is set once there is a newer one."""

    secret_id: UUID
    secret: bytes = field(repr=False)
    created_at: datetime
    expires_at: datetime | None = None

    @property
    def text(self) -> str:
        """The secret as receivers are given it."""
        return f"{SECRET_PREFIX}{b64encode(self.secret).decode()}"

    def is_live(self, now: datetime) -> bool:
        """Tell whether requests are signed with it."""
        return self.expires_at is None or now < self.expires_at


def live_secrets(secrets: Sequence[SigningSecret], now: datetime) -> Sequence[SigningSecret]:
    """Return the secrets that requests are signed with at this moment, the newest first."""
    return [secret for secret in secrets if secret.is_live(now)]


def with_new_secret(
    secrets: Sequence[SigningSecret], new: SigningSecret
) -> tuple[SigningSecret, ...]:
    """Return a webhook's secrets, the newest first, once there is a new one.

    The newest one before it expires after the overlap, unless it does so earlier; all others are
    gone at once. Raises :class:`InvalidInput` if the new one is the same as one that is live.
    """
    live = live_secrets(secrets, new.created_at)
    if any(new.secret == former.secret for former in live):
        problem = "The webhook has this secret already. Give another one, or none to have one made."
        raise InvalidInput(problem, [Detail("secret", problem)])
    until = new.created_at + OVERLAP
    kept = [
        evolve(former, expires_at=min(former.expires_at or until, until))
        for former in live[: MAX_LIVE_SECRETS - 1]
    ]
    return new, *kept
