"""What this host lacks when a connection cannot be made: no fault of the receiver.

An error of one address says little once several were tried (happy eyeballs, RFC 8305), since their
errors are merged. So each socket notes what it lacked for the request that it was opened for.
"""

import errno
import os
import resource
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any

from notification_core.errors import Resource, ResourceShort

_RESOURCES = {
    errno.EMFILE: Resource.DESCRIPTORS,
    errno.ENFILE: Resource.DESCRIPTORS,
    errno.ENOBUFS: Resource.MEMORY,
    errno.ENOMEM: Resource.MEMORY,
}

_KEPT = 32

_noted: ContextVar[list[Resource]] = ContextVar("noted")


def shortage_of(error: OSError) -> Resource | None:
    """Return what an error says that this host lacks; None if it says nothing of the kind."""
    return None if error.errno is None else _RESOURCES.get(error.errno)


@contextmanager
def raising_shortages() -> Iterator[None]:
    """Raise :class:`ResourceShort` in place of an ``OSError`` if a socket lacked something.

    One of several addresses is enough: nobody knows whether that one would have been reached.
    """
    noted: list[Resource] = []
    token = _noted.set(noted)
    try:
        yield
    except ssl.SSLError as error:
        # OpenSSL opens the certificates of authorities when it needs them, and tells no errno.
        if isinstance(error, ssl.CertificateError) and (lacking := exhausted()):
            raise ResourceShort(lacking) from error
        raise
    except OSError as error:
        if lacking := shortage_of(error) or next(iter(noted), None):
            raise ResourceShort(lacking) from error
        raise
    finally:
        _noted.reset(token)


def is_last(descriptor: int) -> bool:
    """Tell whether a descriptor is one of the last few that this process may have.

    The system gives the lowest free number. What is left is kept for probes, storage, the log and
    name servers: connections, which may be many, leave it alone.
    """
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return limit != resource.RLIM_INFINITY and descriptor >= limit - min(_KEPT, limit // 8)


def outgoing_socket(family: int, kind: int, protocol: int) -> socket.socket:
    """Open a socket to a receiver, which notes what this host lacks for it."""
    try:
        opened = _OutgoingSocket(family, kind, protocol)
    except OSError as error:
        _note(shortage_of(error))
        raise
    if is_last(opened.fileno()):
        opened.close()
        _note(Resource.DESCRIPTORS)
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    return opened


class _OutgoingSocket(socket.socket):
    def connect(self, address: Any) -> None:
        """Connect; see :meth:`socket.socket.connect`."""
        try:
            super().connect(address)
        except OSError as error:
            no_port = error.errno == errno.EADDRNOTAVAIL and _has_route(self.family, address)
            _note(Resource.PORTS if no_port else shortage_of(error))
            raise


def exhausted() -> Resource | None:
    """Return what this host lacks for one more socket now, None where it lacks nothing."""
    try:
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close()
    except OSError as error:
        return shortage_of(error)
    return None


def _note(lacking: Resource | None) -> None:
    if lacking is not None:
        with suppress(LookupError):
            _noted.get().append(lacking)


def _has_route(family: int, address: Any) -> bool:
    """Tell whether the host has an address to send from; a datagram socket sends nothing yet."""
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect(address)
    except OSError:
        return False
    return True
