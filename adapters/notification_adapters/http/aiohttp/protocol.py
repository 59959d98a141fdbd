"""aiohttp's protocol, held to one response a request."""

import re
from math import inf
from typing import Any, Final

from aiohttp.client_proto import ResponseHandler

from notification_adapters.http.messages import FIRST_FINAL_STATUS, MAX_HEADER_BYTES

_HEAD_END: Final = re.compile(rb"\r?\n\r?\n")
_STATUS: Final = re.compile(rb"\s*HTTP/\d\.\d (\d{3})")
_LENGTH: Final = re.compile(
    rb"^content-length[ \t]*:[ \t]*(\d{1,18})[ \t]*\r?$", re.IGNORECASE | re.MULTILINE
)
_BODILESS: Final = {204, 304}


class OneResponse(ResponseHandler):
    """Gives aiohttp's parser no byte beyond the end of a response.

    It takes what follows a response in the same segment for the next one and, where that is not
    HTTP, loses both: a 204 with a body would be a failure. The connection is not reused then.
    """

    _head = b""
    _left: float | None = None

    def set_response_params(self, **options: Any) -> None:
        """Begin a response."""
        self._head, self._left = b"", None
        super().set_response_params(**options)

    def data_received(self, data: bytes) -> None:
        """Take a segment, as far as it belongs to the response."""
        while self._left is None:
            searched = len(self._head)
            self._head += data
            end = _HEAD_END.search(self._head, max(0, searched - 3))
            if end is None:
                self._left = inf if len(self._head) > MAX_HEADER_BYTES else None
                break
            head, data = data[: end.end() - searched], data[end.end() - searched :]
            self._left = _body_length(self._head[: end.end()])
            if self._left is None:
                self._head = b""  # an interim response: the next head follows
            super().data_received(head)
            if not data:
                return
        own = data if self._left is None or self._left == inf else data[: int(self._left)]
        if self._left is not None:
            self._left -= len(own)
        if own:
            super().data_received(own)
        if len(own) < len(data):
            self.force_close()


def _body_length(head: bytes) -> float | None:
    """Return how long the body after a head is at most; None after an interim response."""
    status = _STATUS.match(head)
    code = int(status[1]) if status else FIRST_FINAL_STATUS
    if code < FIRST_FINAL_STATUS:
        return None
    if code in _BODILESS:
        return 0
    length = _LENGTH.search(head)
    return int(length[1]) if length else inf
