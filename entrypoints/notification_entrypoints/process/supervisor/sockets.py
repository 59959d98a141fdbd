"""Where the sockets of the workers' ops servers are."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from notification_core.errors import NotificationError

PARENTS: Final[Sequence[str | None]] = (None, "/dev/shm")  # noqa: S108 - the folder in it is private
"""Where a folder is made: where temporary files go, else in the memory that Linux offers.

The latter can usually be written to in a container whose root file system is read-only.
"""

_LONGEST_PATH: Final = 100  # of 107 bytes that a socket's address has room for, without its name


class SocketFolderUnavailable(NotificationError):
    """No folder can be made for the sockets; the message says what to set."""


@contextmanager
def socket_folder(parents: Sequence[str | None] = PARENTS) -> Iterator[Path]:
    """Give a folder that nobody else can enter, for the length of the block.

    Raises :class:`SocketFolderUnavailable`.
    """
    with _made(parents) as name:
        yield Path(name)


def _made(parents: Sequence[str | None]) -> "TemporaryDirectory[str]":
    reasons = []
    for parent in parents:
        try:
            folder = TemporaryDirectory(
                prefix="notification-", dir=parent, ignore_cleanup_errors=True
            )
        except OSError as error:
            reasons.append(error.strerror or str(error))
            continue
        if len(os.fsencode(folder.name)) <= _LONGEST_PATH - len("/1000.sock"):
            return folder
        folder.cleanup()
        reasons.append(f"the path {folder.name} is too long for a socket")
    raise SocketFolderUnavailable(
        f"--workers needs a folder for sockets, and none can be made ({'; '.join(reasons)}): set "
        "TMPDIR to a folder that can be written to, in Kubernetes the mount of an emptyDir volume."
    )
