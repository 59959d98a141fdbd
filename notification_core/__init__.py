"""The pure core: values, rules, ports and use cases. No I/O, no clock, no driver."""

from notification_core.errors import InvalidSignature, NotificationError
from notification_core.signing.verification import (
    verify_request,
    verify_signature,
    verify_standard_webhook,
)

__all__ = [
    "InvalidSignature",
    "NotificationError",
    "verify_request",
    "verify_signature",
    "verify_standard_webhook",
]
