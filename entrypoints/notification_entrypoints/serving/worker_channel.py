"""What a supervisor and its workers know of each other, and the channel between them.

A worker's standard input stays open for as long as its supervisor runs and wants it: at its end
the worker stops. On its standard output it reports in one line of JSON that it is ready, or why it
cannot start. Its ops server listens on a socket that only its supervisor's user can reach.
"""

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self, TextIO

from attrs import frozen

from notification_core.errors import NotificationError


class WorkerRefused(NotificationError):
    """A worker cannot start, and another one could not either, for a reason."""

    def __init__(self, reason: str, exit_code: int) -> None:
        super().__init__(reason)
        self.exit_code = exit_code


@frozen
class WorkerAddress:
    """The place that a worker has among the others; ``ops_url`` is where they answer together."""

    number: int
    socket: Path
    ops_url: str
    supervisor: int

    def arguments(self) -> Sequence[str]:
        """Return this as a worker has it on its command line."""
        return (str(self.number), str(self.socket), self.ops_url, str(self.supervisor))

    @classmethod
    def parse(cls, arguments: Sequence[str]) -> Self:
        """Return what the command line has."""
        number, socket, ops_url, supervisor = arguments
        return cls(int(number), Path(socket), ops_url, int(supervisor))

    def remove_socket(self) -> None:
        """Remove the socket; a worker that has survived its supervisor tidies up for it."""
        with suppress(OSError):
            self.socket.unlink()
        if os.getppid() != self.supervisor:
            with suppress(OSError):
                self.socket.parent.rmdir()


@frozen
class Ready:
    """A worker serves; its announcement is for a person to read."""

    announcement: str


@frozen
class Refused:
    """A worker cannot start; what ``passes`` may be over when another one tries."""

    reason: str
    passes: bool


def parse_report(line: bytes) -> Ready | Refused | None:
    """Return what a worker has reported; None for what was printed by something else."""
    try:
        report = json.loads(line)
    except ValueError:
        return None
    match report:
        case {"ready": str(announcement)}:
            return Ready(announcement)
        case {"refused": str(reason), "passes": bool(passes)}:
            return Refused(reason, passes)
        case _:
            return None


def report_ready(stream: TextIO, announcement: str) -> None:
    """Report to the supervisor that this worker serves."""
    _report(stream, {"ready": announcement})


def report_refusal(stream: TextIO, reason: str, *, passes: bool) -> None:
    """Report to the supervisor why this worker cannot start."""
    _report(stream, {"refused": reason, "passes": passes})


def _report(stream: TextIO, report: object) -> None:
    with suppress(BrokenPipeError):  # the supervisor is gone
        stream.write(f"{json.dumps(report)}\n")
        stream.flush()
