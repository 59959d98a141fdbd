"""Keeps the tests on this host: what would leave it is refused before the first packet.

The interpreter's audit events see every connect, send and lookup of the socket module, whoever
asks; only a name that is given to connect is looked up before. uvloop and c-ares do not ask the
interpreter at all. So the few entry points of these three are wrapped. Processes that a test
starts are not seen: the test tells them where to connect.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from ipaddress import ip_address
from socket import AF_INET, AF_INET6, gethostname, socket
from typing import Protocol

import pytest


class OutsideConnection(ConnectionRefusedError):
    """A test tried to reach something that is not on this host."""


class _Socket(Protocol):
    family: int


class _Channel(Protocol):
    servers: list[str]


class NetworkGuard:
    """Refuses what would leave this host, and remembers it in ``refused``.

    The error alone would not do: the code under test may take it for a receiver that is down.
    """

    def __init__(self) -> None:
        self.refused: list[str] = []
        self._on = True

    def connect(self, host: object) -> None:
        """Let a connection to ``host`` pass, or refuse it."""
        self._refuse_unless(_is_loopback(host) or _is_local_name(host), "connect to", host)

    def look_up(self, host: object) -> None:
        """Let a lookup of ``host`` pass, or refuse it; an address needs none."""
        self._refuse_unless(_is_address(host) or _is_local_name(host), "look up", host)

    def switch_off(self) -> None:
        """Let everything pass from now on: an audit hook cannot be taken out."""
        self._on = False

    def _refuse_unless(self, passes: bool, what: str, host: object) -> None:  # noqa: FBT001 (reads as a sentence)
        if self._on and not passes:
            self.refused.append(f"{what} {host!r}")
            raise OutsideConnection(f"A test may not {what} {host!r}: only loopback is open.")


@contextmanager
def guarded_network() -> Iterator[NetworkGuard]:
    """Guard this process while the context is open."""
    guard = NetworkGuard()
    with pytest.MonkeyPatch.context() as patch:
        sys.addaudithook(_audit_hook(guard))
        _wrap_socket(guard, patch)
        _wrap_uvloop(guard, patch)
        _wrap_c_ares(guard, patch)
        yield guard
        guard.switch_off()


def _audit_hook(guard: NetworkGuard) -> Callable[[str, tuple[object, ...]], None]:
    judge_peer = partial(_judge_peer, guard)

    def judge_name(host: object, *_: object) -> None:
        guard.look_up(host)

    judges: dict[str, Callable[..., None]] = {
        "socket.connect": judge_peer,
        "socket.sendto": judge_peer,
        "socket.sendmsg": judge_peer,
        "socket.getaddrinfo": judge_name,
        "socket.gethostbyname": judge_name,
        "socket.gethostbyaddr": guard.connect,
    }

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if (judge := judges.get(event)) is not None:
            judge(*arguments)

    return hook


def _judge_peer(guard: NetworkGuard, sock: _Socket, address: object) -> None:
    if sock.family in {AF_INET, AF_INET6} and isinstance(address, tuple):
        guard.connect(address[0])


def _wrap_socket(guard: NetworkGuard, patch: pytest.MonkeyPatch) -> None:
    for method in ("connect", "connect_ex"):
        _judge_before(patch, socket, method, partial(_judge_peer, guard))


def _wrap_uvloop(guard: NetworkGuard, patch: pytest.MonkeyPatch) -> None:
    try:
        loop = import_module("uvloop").Loop
    except ImportError:
        return

    def judge_connection(_loop: object, _protocol: object, host: object = None, *_: object) -> None:
        guard.connect(host)

    def judge_look_up(_loop: object, host: object, *_: object) -> None:
        guard.look_up(host)

    _judge_before(patch, loop, "create_connection", judge_connection)
    _judge_before(patch, loop, "getaddrinfo", judge_look_up)


def _wrap_c_ares(guard: NetworkGuard, patch: pytest.MonkeyPatch) -> None:
    try:
        channel = import_module("pycares").Channel
    except ImportError:
        return

    def judge_question(channel: _Channel, name: object, *_: object) -> None:
        if not all(_is_loopback(server.rpartition(":")[0]) for server in channel.servers):
            guard.look_up(name)

    for method in ("getaddrinfo", "query", "search"):
        _judge_before(patch, channel, method, judge_question)


def _judge_before(
    patch: pytest.MonkeyPatch, owner: type, method: str, judge: Callable[..., None]
) -> None:
    original = getattr(owner, method)

    def judged(self: object, *arguments: object, **options: object) -> object:
        named = {name: options[name] for name in ("host", "name") if name in options}
        judge(self, *arguments, **named)
        return original(self, *arguments, **options)

    patch.setattr(owner, method, judged)


def _is_address(host: object) -> bool:
    try:
        ip_address(_text(host).partition("%")[0])
    except ValueError:
        return False
    return True


def _is_loopback(host: object) -> bool:
    if not _is_address(host):
        return False
    address = ip_address(_text(host).strip("[]").partition("%")[0])
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def _is_local_name(host: object) -> bool:
    name = _text(host).lower().removesuffix(".")
    return name in {"", "localhost", gethostname().lower()} or name.endswith(".localhost")


def _text(host: object) -> str:
    if host is None:
        return ""
    return host.decode("ascii", "replace") if isinstance(host, bytes) else str(host)
