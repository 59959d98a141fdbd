"""Verify a request in Python: what a receiver does with the bytes that arrived."""

from collections.abc import Mapping
from datetime import UTC, datetime

from notification_core import InvalidSignature, verify_signature


def is_genuine(body: bytes, headers: Mapping[str, str], public_key: str) -> bool:
    """Tell whether a request is from your environment, unchanged, and from just now."""
    signature = headers["X-3dverse-Signature"]
    timestamp = headers["X-3dverse-Signature-Timestamp"]
    try:
        verify_signature(body, signature, timestamp, public_key, now=datetime.now(UTC))
    except InvalidSignature:
        return False
    return True
