"""A response as the log keeps it, from what a client has read."""

from collections.abc import Sequence

from notification_adapters.http.failures import headers_too_large, unusable_status
from notification_adapters.http.limits import MAX_HEADER_BYTES
from notification_core.model.delivery import ReceivedResponse
from notification_core.ports.sender import MAX_LOGGED_BYTES

FIRST_FINAL_STATUS = 200


def received(
    status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes, *, whole: bool
) -> ReceivedResponse:
    """Return a response; raise :class:`SendingFailed` where it is none that can be taken."""
    if status < FIRST_FINAL_STATUS:
        raise unusable_status(status)
    truncated = not whole or len(body) > MAX_LOGGED_BYTES
    return ReceivedResponse(status, _logged(headers), body[:MAX_LOGGED_BYTES], truncated)


def _logged(headers: Sequence[tuple[bytes, bytes]]) -> tuple[tuple[str, str], ...]:
    """Return the headers as text that every storage takes: no lone surrogates, no limit passed."""
    if sum([len(name) + len(value) for name, value in headers]) > MAX_HEADER_BYTES:
        raise headers_too_large()
    return tuple(
        [
            (name.decode("utf-8", "replace"), value.decode("utf-8", "replace"))
            for name, value in headers
        ]
    )
