"""The last check before a connection: whether its address is allowed, and whom TLS trusts.

The very address of each connect is checked, whether it was looked up or stood in the URL.
"""

import codecs
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

from aiohappyeyeballs import AddrInfoType

from notification_adapters.http.shortages import outgoing_socket
from notification_core.errors import DestinationRefused
from notification_core.model.destinations import DestinationPolicy, check_address


class DestinationDenied(OSError):
    """An address that the policy refuses: to those who connect, a connect that failed."""


def require_allowed(address: str, policy: DestinationPolicy) -> None:
    """Raise :class:`DestinationDenied`, in words for the customer, unless it is allowed."""
    try:
        check_address(address, policy)
    except DestinationRefused as refused:
        raise DestinationDenied(str(refused)) from refused


def guarded_sockets(policy: DestinationPolicy) -> Callable[[AddrInfoType], socket.socket]:
    """Return what opens sockets, each for one address, and none for one that is denied."""

    def open_socket(destination: AddrInfoType) -> socket.socket:
        family, kind, protocol, _, address = destination
        require_allowed(str(address[0]), policy)
        return outgoing_socket(family, kind, protocol)

    return open_socket


def system_trust() -> ssl.SSLContext:
    """Return the TLS settings of every connection, with the system's certificates."""
    return _modern(ssl.create_default_context())


def trust_in(authorities: Path) -> ssl.SSLContext:
    """Return the same with the certificates of a PEM file instead of the system's.

    Raises ``OSError`` if it cannot be read, or holds no certificate.
    """
    with authorities.open("rb") as file:
        if file.read(len(codecs.BOM_UTF8)) == codecs.BOM_UTF8:
            # OpenSSL would skip the first certificate without a word.
            raise OSError("it begins with a byte order mark: save it without")
    return _modern(ssl.create_default_context(cafile=authorities))


def _modern(context: ssl.SSLContext) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context
