"""Output that nobody has to wait for: log lines, and what a server announces at its start.

A pipe that is not read, or a disk that hangs, blocks whatever writes to it. Here that is a thread
of its own. It writes to the file descriptor itself, since a thread that is blocked inside of
Python's buffered streams keeps the interpreter from ending.
"""

import logging
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final, TextIO

MAX_BYTES: Final = 1024 * 1024
"""How much may wait to be written."""

_FLUSH_SECONDS: Final = 0.25


class LogOutput(logging.Handler):
    """Writes log lines to a stream, and never waits for it.

    A line is dropped if more than ``max_bytes`` would wait to be written, or if writing it fails.
    ``dropped`` counts these lines, and the next one that can be written is followed by a line that
    says how many there were. At the end of the process what waits is written, if that takes no
    longer than a moment. A stream without a file descriptor is in memory and written to directly.
    """

    def __init__(self, stream: TextIO, max_bytes: int = MAX_BYTES) -> None:
        super().__init__()
        self.dropped = 0
        self._stream = stream
        self._max_bytes = max_bytes
        self._lines: deque[bytes] = deque()
        self._waiting = 0
        self._unreported = 0
        self._changed = threading.Condition()
        self._descriptor = _descriptor_of(stream)
        if self._descriptor is not None:
            _in_background(self._run, self._descriptor)

    def emit(self, record: logging.LogRecord) -> None:
        """Have a line written."""
        try:
            line = f"{self.format(record)}\n"
            if self._descriptor is None:
                self._stream.write(line)
            else:
                self._enqueue(_encoded(line, self._stream))
        except Exception:  # noqa: BLE001 - as every handler of the standard library does
            self.handleError(record)

    def flush(self) -> None:
        """Wait a moment for what is not written yet; called at the end of the process."""
        until = time.monotonic() + _FLUSH_SECONDS
        with self._changed:
            while self._waiting and (left := until - time.monotonic()) > 0:
                self._changed.wait(left)

    @property
    def is_stuck(self) -> bool:
        """Tell whether lines still wait to be written although there was a moment for it."""
        self.flush()
        return self._waiting > 0

    def _enqueue(self, line: bytes) -> None:
        with self._changed:
            if self._waiting + len(line) > self._max_bytes:
                self._drop()
                return
            self._lines.append(line)
            self._waiting += len(line)
            self._changed.notify_all()

    def _drop(self) -> None:
        self.dropped += 1
        self._unreported += 1

    def _run(self, descriptor: int) -> None:
        """Write what waits; never ends."""
        while True:
            with self._changed:
                while not self._lines:
                    self._changed.wait()
                line = self._lines.popleft()
            is_written = _write(descriptor, line)
            if is_written:
                self._report_dropped(descriptor)
            with self._changed:
                self._waiting -= len(line)
                if not is_written:
                    self._drop()
                self._changed.notify_all()

    def _report_dropped(self, descriptor: int) -> None:
        """Write into the log how many lines are missing from it."""
        with self._changed:
            count, self._unreported = self._unreported, 0
        if not count:
            return
        fields = {"name": "notification", "levelno": logging.WARNING, "levelname": "WARNING"}
        record = logging.makeLogRecord({**fields, "msg": "log_lines_dropped", "count": count})
        if not _write(descriptor, _encoded(f"{self.format(record)}\n", self._stream)):
            with self._changed:
                self._unreported += count


def announce(text: str, stream: TextIO) -> None:
    """Print a text for people, and do not wait until it is taken.

    It goes to the stream of the log, and only to a terminal: for programs the log says it all.
    """
    if not stream.isatty():
        return
    descriptor = _descriptor_of(stream)
    if descriptor is None:
        stream.write(text)
        stream.flush()
    else:
        _in_background(_write, descriptor, _encoded(text, stream))


def _descriptor_of(stream: TextIO) -> int | None:
    try:
        return stream.fileno()
    except (OSError, ValueError):
        return None


def _encoded(text: str, stream: TextIO) -> bytes:
    return text.encode(stream.encoding, "backslashreplace")


def _in_background(target: Callable[..., object], *arguments: object) -> None:
    threading.Thread(target=target, args=arguments, name="output", daemon=True).start()


def _write(descriptor: int, data: bytes) -> bool:
    """Write all of it; tell whether that was possible: readers go away, and disks become full."""
    while data:
        try:
            data = data[os.write(descriptor, data) :]
        except BlockingIOError:
            select.select([], [descriptor], [])
        except OSError:
            return False
    return True
