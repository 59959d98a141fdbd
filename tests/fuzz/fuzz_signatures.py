"""Whatever a request says of its signature and whoever writes the key: nothing made up holds."""

import sys
from collections.abc import Callable
from datetime import UTC, datetime

import atheris

with atheris.instrument_imports():
    from notification_core.errors import InvalidInput, InvalidSignature
    from notification_core.model.public_keys import parse_public_key
    from notification_core.signing.verification import (
        verify_request,
        verify_signature,
        verify_standard_webhook,
    )

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECONDS = str(int(NOW.timestamp()))
SECRET = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX"
KEY = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"


def one_input(drawn: bytes) -> None:
    """Verify what was drawn by both schemes, and read it as a key."""
    given = atheris.FuzzedDataProvider(drawn)
    fresh = given.ConsumeBool()
    signature = given.ConsumeUnicode(given.ConsumeIntInRange(0, 400))
    timestamp = SECONDS if fresh else given.ConsumeUnicode(12)
    message = "msg_1" if fresh else given.ConsumeUnicode(130)
    body = given.ConsumeBytes(100)
    headers = {
        "webhook-id": message,
        "webhook-timestamp": timestamp,
        "webhook-signature": f"v1a,{signature}" if fresh else signature,
    }
    pairs = [*headers.items(), ("X-3dverse-Signature", signature), (message, signature)]
    refuses(lambda: verify_request(body, headers, [KEY, SECRET], now=NOW))
    refuses(lambda: verify_request(body, pairs, [KEY, SECRET], now=NOW))
    refuses(lambda: verify_signature(body, signature, timestamp, KEY, now=NOW))
    refuses(lambda: verify_standard_webhook(body, headers, KEY, now=NOW))
    for text in (signature, drawn, b"whpk_" + drawn):
        read_key(text)


def refuses(verify: Callable[[], None]) -> None:
    """Fail unless a signature is refused in our own words."""
    try:
        verify()
    except InvalidSignature:
        return
    raise AssertionError("a made-up signature holds")


def read_key(text: str | bytes) -> None:
    """Read a key, or be told what is wrong with it."""
    try:
        assert len(parse_public_key(text)) == 32
    except InvalidInput:
        return


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
