"""Where the time of an attempt's request went."""

from datetime import timedelta
from typing import Final, Self

from attrs import frozen


@frozen
class Phases:
    """How long each phase of a request took, in the order in which they follow each other.

    None of those that did not happen: only a new connection has the first three, a name only is
    looked up, and only https has a TLS handshake. The phase in which a request failed lasted until
    then, and has none behind it. ``connect`` includes the way through an egress proxy.
    ``first_byte`` is from when the request was sent to the first byte of its response, ``read``
    from there to the response's end: None if that took less than a millisecond.
    """

    dns: timedelta | None = None
    connect: timedelta | None = None
    tls: timedelta | None = None
    first_byte: timedelta | None = None
    read: timedelta | None = None

    @property
    def is_reused(self) -> bool:
        """Tell whether the request was sent on a connection that had been open before."""
        return self.dns is self.connect is self.tls is None

    def within(self, duration: timedelta) -> Self:
        """Return the phases of an attempt that lasted so long.

        On a reused connection, all that was not reading was waiting for the first byte: it is not
        measured, since nearly all attempts are such.
        """
        if not self.is_reused:
            return self
        waited = duration if self.read is None else duration - self.read
        return type(self)(first_byte=waited, read=self.read)


OPENING: Final = frozenset({"dns", "connect", "tls"})
"""The names of the phases that only a new connection has."""

REUSED: Final = Phases()
"""The phases of nearly every request: on a reused connection, with its response in one piece.

Always this one object, so that storage knows it without a look at its fields.
"""
