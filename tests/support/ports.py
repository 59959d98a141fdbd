"""Ports for servers that are told theirs before they start."""

import socket
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from random import SystemRandom

# Systems give clients ports from above these, so that nobody is given one meanwhile.
_PORTS = range(10_000, 32_768)
_CHANCE = SystemRandom()


def free_ports(count: int) -> Sequence[int]:
    """Return ports of loopback that nobody listens on, and that no client is given."""
    with ExitStack() as stack:
        listening = [stack.enter_context(_listening()) for _ in range(count)]
        return [one.getsockname()[1] for one in listening]


def _listening() -> socket.socket:
    while True:
        with suppress(OSError):
            return socket.create_server(("127.0.0.1", _CHANCE.choice(_PORTS)))
