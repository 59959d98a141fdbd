"""Choosing the signer: of those that are installed and whose signatures are right the fastest."""

import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from uuid import UUID

import structlog

from notification_core.model.signing_key import new_signing_key
from notification_core.ports.signer import Signer
from notification_core.signing.signatures import CryptographySigner

_SAMPLE_KEY = new_signing_key(UUID(int=0), datetime.fromtimestamp(0, UTC), bytes(range(32)))
_SAMPLE = b"All signers give the same signature." * 30
"""About 1 KB, as long as most of what is signed."""

_TIMED = 20

_log = structlog.stdlib.get_logger("notification")


def fastest_signer() -> Signer:
    """Return the fastest signer that is installed.

    It depends on how cryptography was built: with OpenSSL it is slower than libsodium, with AWS-LC
    faster. Finding out takes two milliseconds.
    """
    return fastest([CryptographySigner(), *_others()])


def fastest(signers: Sequence[Signer]) -> Signer:
    """Return the fastest of these that agrees with the first; tell of those that do not."""
    reference = signers[0].sign(_SAMPLE_KEY, _SAMPLE)
    right = []
    for signer in signers:
        if signer.sign(_SAMPLE_KEY, _SAMPLE) == reference:
            right.append(signer)
        else:
            name, reason = type(signer).__name__, "its signatures are wrong"
            _log.error("signer_rejected", signer=name, reason=reason)
    return right[0] if len(right) == 1 else min(right, key=_seconds)


def _others() -> Iterator[Signer]:
    try:
        from notification_adapters.signers.libsodium import SodiumSigner  # noqa: PLC0415 - an extra
    except ImportError:
        return
    yield SodiumSigner()


def _seconds(signer: Signer) -> float:
    """Return how long a signature takes at best: what is beside it only makes it longer."""

    def timed() -> float:
        began = time.perf_counter()
        signer.sign(_SAMPLE_KEY, _SAMPLE)
        return time.perf_counter() - began

    return min(timed() for _ in range(_TIMED))
