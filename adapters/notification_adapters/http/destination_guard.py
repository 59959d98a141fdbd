"""The last wall: the very address of each connect is judged, looked up or literal."""

import socket
from collections.abc import Callable

from aiohappyeyeballs import AddrInfoType

from notification_adapters.http.shortages import outgoing_socket
from notification_core.errors import DestinationRefused
from notification_core.model.destinations import DestinationPolicy, check_address


class DestinationDenied(OSError):
    """An address that the policy refuses: to those who connect, a connect that failed."""


def judge(address: str, policy: DestinationPolicy) -> None:
    """Raise :class:`DestinationDenied`, in words for the customer, unless it is allowed."""
    try:
        check_address(address, policy)
    except DestinationRefused as refused:
        raise DestinationDenied(str(refused)) from refused


def judging_sockets(policy: DestinationPolicy) -> Callable[[AddrInfoType], socket.socket]:
    """Return what opens sockets, each for one address, and none for one that is denied."""

    def open_socket(destination: AddrInfoType) -> socket.socket:
        family, kind, protocol, _, address = destination
        judge(str(address[0]), policy)
        return outgoing_socket(family, kind, protocol)

    return open_socket
