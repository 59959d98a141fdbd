"""What a supervisor and its workers know of each other, and how they talk.

A worker's standard input stays open for as long as its supervisor lives and wants it: at its end
the worker stops. On its standard output it says in one line of JSON that it is ready, or why it
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
    """A worker cannot start, and another one in its place could not either; it says why."""

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
        """Return how this is said to a worker on its command line."""
        return (str(self.number), str(self.socket), self.ops_url, str(self.supervisor))

    @classmethod
    def of(cls, arguments: Sequence[str]) -> Self:
        """Return what the command line says."""
        number, socket, ops_url, supervisor = arguments
        return cls(int(number), Path(socket), ops_url, int(supervisor))

    def leave(self) -> None:
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


def heard(line: bytes) -> Ready | Refused | None:
    """Return what a worker has said; None for what was printed by something else."""
    try:
        said = json.loads(line)
    except ValueError:
        return None
    match said:
        case {"ready": str(announcement)}:
            return Ready(announcement)
        case {"refused": str(reason), "passes": bool(passes)}:
            return Refused(reason, passes)
        case _:
            return None


def say_ready(stream: TextIO, announcement: str) -> None:
    """Say to the supervisor that this worker serves."""
    _say(stream, {"ready": announcement})


def say_refused(stream: TextIO, reason: str, *, passes: bool) -> None:
    """Say to the supervisor why this worker cannot start."""
    _say(stream, {"refused": reason, "passes": passes})


def _say(stream: TextIO, said: object) -> None:
    with suppress(BrokenPipeError):  # nobody is left to hear it
        stream.write(f"{json.dumps(said)}\n")
        stream.flush()
