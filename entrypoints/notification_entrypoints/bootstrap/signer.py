"""Choosing the signer: libsodium if it is installed and its signatures are right."""

from datetime import UTC, datetime
from uuid import UUID

import structlog

from notification_core.model.signing_key import new_signing_key
from notification_core.ports.signer import Signer
from notification_core.signing.signatures import CryptographySigner

_SAMPLE_KEY = new_signing_key(UUID(int=0), datetime.fromtimestamp(0, UTC), bytes(range(32)))
_SAMPLE = b"All signers give the same signature."

_log = structlog.stdlib.get_logger("notification")


def fastest_signer() -> Signer:
    """Return the fastest signer that is installed."""
    try:
        from notification_adapters.signers.libsodium import SodiumSigner  # noqa: PLC0415 - an extra
    except ImportError:
        return CryptographySigner()
    return checked(SodiumSigner())


def checked(signer: Signer) -> Signer:
    """Return a signer if it agrees with the core's own; else tell of it, and return that one."""
    reference = CryptographySigner()
    if signer.sign(_SAMPLE_KEY, _SAMPLE) == reference.sign(_SAMPLE_KEY, _SAMPLE):
        return signer
    _log.error("signer_rejected", signer=type(signer).__name__, reason="its signatures are wrong")
    return reference
