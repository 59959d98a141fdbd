"""How many connections to the API there are: an idle one makes room for a new one."""

from collections import OrderedDict
from itertools import islice

from notification_adapters.http.shortages import is_last
from notification_entrypoints.serving.http_server import PatientProtocol

_LOOKED_AT = 64
"""How many of the connections that were silent for longest are looked at to find an idle one."""


class ConnectionLimit:
    """Keeps connections below a bound; the one that nothing came on for longest is the first."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._by_use: OrderedDict[PatientProtocol, None] = OrderedDict()

    def opened(self, connection: PatientProtocol, descriptor: int) -> PatientProtocol | None:
        """Count a new connection; return which one to close for it, itself if none is idle."""
        idle = None
        if len(self._by_use) >= self._most or is_last(descriptor):
            longest_silent = islice(self._by_use, _LOOKED_AT)
            idle = next((each for each in longest_silent if each.is_idle), connection)
            self._by_use.pop(idle, None)
        if idle is not connection:
            self._by_use[connection] = None
        return idle

    def used(self, connection: PatientProtocol) -> None:
        """Note that something came on a connection."""
        if connection in self._by_use:
            self._by_use.move_to_end(connection)

    def closed(self, connection: PatientProtocol) -> None:
        """Count a connection no more."""
        self._by_use.pop(connection, None)
