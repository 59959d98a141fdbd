"""Verify a request in Python: what a receiver does with the bytes that arrived."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from notification_core import InvalidSignature, verify_request


def is_genuine(body: bytes, headers: Mapping[str, str], keys: str | Sequence[str]) -> bool:
    """Tell whether a request is from your environment, unchanged, and from just now."""
    try:
        verify_request(body, headers, keys, now=datetime.now(UTC))
    except InvalidSignature:
        return False
    return True
