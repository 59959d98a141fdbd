"""All that a receiver, a name server and a customer's URL may do to a sender, in one table.

The contract suite holds every sender to it on every loop, and ``nox -s hostile`` prints it.
"""

import gzip
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path

from attrs import frozen

from tests.hostile import stages
from tests.hostile.stages import OpenStage, Stage, receiver
from tests.support.name_server import NO_SUCH_NAME, SERVER_FAILURE
from tests.support.raw_receivers import Act, Connection, closes, hangs, resets, says, says_for_ever
from tests.support.sending import CHUNKED, EMPTY, OK
from tests.support.vectors import vectors

_NOT_ALLOWED = "destination_not_allowed"
_LARGE = 16 * 2**20
_VECTORS = vectors("ssrf")
_EARLY = b"HTTP/1.1 103 Early Hints\r\n\r\n"


@frozen
class Case:
    """What somebody does, and what has to come of it.

    ``expected`` is an error's code or a response's status, or several where it depends on who is
    faster; ``waits`` tells that only the time limit ends the attempt.
    """

    name: str
    stage: OpenStage
    expected: frozenset[str]
    waits: bool = False


def _case(name: str, stage: OpenStage, *expected: str, waits: bool = False) -> Case:
    return Case(name, stage, frozenset(expected), waits)


def _no_http(name: str, response: bytes) -> Case:
    return _case(name, receiver(says(response)), "invalid_response")


def _then(first: Act, last: Act) -> Act:
    async def act(connection: Connection) -> None:
        await first(connection)
        await last(connection)

    return act


@asynccontextmanager
async def _packed(folder: Path) -> AsyncIterator[Stage]:
    """Have a receiver that says in 48 kB what would be 50 MB."""
    async with receiver(says(_bomb()))(folder) as stage:
        yield stage


@cache
def _bomb() -> bytes:
    packed = gzip.compress(bytes(50_000_000))
    return OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed) + packed


# Experiment 19: it hangs, trickles, or answers without end.
_SLOW: Sequence[Case] = [
    _case("silent", receiver(hangs), "timeout", waits=True),
    _case("half the headers", receiver(says(OK + b"X-A: 1\r\n")), "timeout", waits=True),
    _case(
        "headers that drip",
        receiver(says_for_ever(b"X-A: 1\r\n", begin=OK, apart=0.05)),
        "timeout",
        waits=True,
    ),
    _case("103 for ever", receiver(says_for_ever(_EARLY, apart=0.001)), "timeout", waits=True),
    _case(
        "a flood of 100",
        receiver(says_for_ever(b"HTTP/1.1 100 Continue\r\n\r\n" * 100)),
        "timeout",
        waits=True,
    ),
    _case(
        "a body that drips",
        receiver(says_for_ever(b"x", begin=OK + b"Content-Length: 1000\r\n\r\n", apart=0.01)),
        "200",
        waits=True,
    ),
    _case(
        "silent during the body",
        receiver(says(OK + b"Content-Length: 9\r\n\r\nabc")),
        "200",
        waits=True,
    ),
    _case("does not read", receiver(hangs, deaf=True, body=bytes(_LARGE)), "timeout", waits=True),
]

# Experiment 20: what comes is malformed, too large, or ends too soon.
_MALFORMED: Sequence[Case] = [
    _no_http("no HTTP", b"hello\r\n\r\n"),
    _no_http("another protocol", b"SSH-2.0-OpenSSH_9.6\r\n"),
    _no_http("status abc", b"HTTP/1.1 abc OK\r\n\r\n"),
    _no_http("status 000", b"HTTP/1.1 000 OK\r\n" + EMPTY),
    _no_http("status 99", b"HTTP/1.1 99 OK\r\n" + EMPTY),
    _no_http("status 1000", b"HTTP/1.1 1000 OK\r\n" + EMPTY),
    _no_http(
        "101 unasked",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    ),
    _no_http("length -1", OK + b"Content-Length: -1\r\n\r\n"),
    _no_http("two lengths", OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
    _no_http(
        "length and chunks",
        OK + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    _no_http("a header of 1 MB", OK + b"X: " + b"a" * 1_000_000 + b"\r\n" + EMPTY),
    _no_http("10,000 headers", OK + b"X: a\r\n" * 10_000 + EMPTY),
    _no_http(
        "headers of 160 kB",
        OK + b"".join(b"X-%d: " % n + b"a" * 8000 + b"\r\n" for n in range(20)) + EMPTY,
    ),
    _no_http("a reason of 1 MB", b"HTTP/1.1 200 " + b"a" * 1_000_000 + b"\r\n" + EMPTY),
    _no_http("NUL in a header", OK + b"X: a\x00b\r\n" + EMPTY),
    _no_http("a bad chunk", CHUNKED + b"zz\r\nabc\r\n"),
    _case(
        "a chunk that is bad later",
        receiver(says(CHUNKED + b"3\r\nabc\r\n", b"zz\r\n", apart=0.05)),
        "invalid_response",
    ),
    _case(
        "a header without end",
        receiver(says_for_ever(b"a" * 10_000, begin=OK + b"X: ")),
        "invalid_response",
    ),
    _case(
        "headers without end",
        receiver(says_for_ever(b"X: a\r\n" * 1000, begin=OK)),
        "invalid_response",
    ),
    _case("headers cut in the status", receiver(closes(b"HTTP/1.1 200")), "invalid_response"),
    _case("headers cut after it", receiver(closes(OK)), "invalid_response"),
    _case("headers cut in a name", receiver(closes(OK + b"Content-Le")), "invalid_response"),
    _case("closed unanswered", receiver(closes()), "connect"),
    _case("reset unanswered", receiver(resets()), "connect"),
    _case("nobody listens", stages.nobody, "connect"),
    _case(
        "reset after the headers",
        receiver(_then(says(OK + b"Content-Length: 9\r\n\r\n", apart=0.05), resets())),
        "200",
    ),
    _case("closed during the body", receiver(closes(OK + b"Content-Length: 9\r\n\r\nabc")), "200"),
    _case("closed during a chunk", receiver(closes(CHUNKED + b"9\r\nabc")), "200"),
]

_LARGE_RESPONSES: Sequence[Case] = [
    _case("a gzip bomb of 50 MB", _packed, "200"),
    _case(
        "a body without end",
        receiver(says_for_ever(b"a" * 10_000, begin=OK + b"\r\n")),
        "200",
    ),
    _case(
        "a chunk without end",
        receiver(says_for_ever(b"a" * 10_000, begin=CHUNKED + b"ffffff\r\n")),
        "200",
    ),
    _case(
        "tiny chunks without end",
        receiver(says_for_ever(b"4\r\naaaa\r\n" * 1000, begin=CHUNKED)),
        "200",
    ),
]

_REDIRECTS: Sequence[Case] = [
    _case(f"redirect {status} to the inside", stages.redirect(status), str(status))
    for status in (301, 302, 303, 307, 308)
]

# Servers differ in whether they say what they miss before they drop a connection.
_TLS: Sequence[Case] = [
    _case("certificate of another name", stages.certified("other.example"), "tls"),
    _case("certificate that has expired", stages.certified(expired=True), "tls"),
    _case("authority that is unknown", stages.certified(trusted=False), "tls"),
    _case("TLS 1.1", stages.outdated(), "tls", "connect"),
    _case("alert: a certificate is asked for", stages.demanding(), "tls", "connect"),
    _case("no TLS", stages.unencrypted(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "tls"),
    _case("handshake that hangs", stages.unencrypted(hangs=True), "timeout", waits=True),
]

# Experiment 21: the name does not lead where it should.
_NAMES: Sequence[Case] = [
    _case("name that does not exist", stages.looked_up(code=NO_SUCH_NAME), "dns"),
    _case("name without an address", stages.looked_up(), "dns"),
    _case("name server fails", stages.looked_up(code=SERVER_FAILURE), "dns"),
    _case("name server is silent", stages.looked_up(code=None), "timeout", waits=True),
    _case("name leads inside", stages.looked_up("127.0.0.1"), "destination_not_allowed"),
    _case(
        "name leads out and inside",
        stages.looked_up("127.0.0.2", "127.0.0.1"),
        "destination_not_allowed",
    ),
    _case(
        "name leads out and, by IPv6, inside",
        stages.looked_up("127.0.0.2", "::1"),
        "destination_not_allowed",
    ),
    _case(
        "name leads to an IPv4 inside in IPv6",
        stages.looked_up("::ffff:127.0.0.1"),
        "destination_not_allowed",
    ),
    _case("name that is rebound to the inside", stages.rebound, "destination_not_allowed"),
]

CASES: Sequence[Case] = [
    *_SLOW,
    *_MALFORMED,
    *_LARGE_RESPONSES,
    *_REDIRECTS,
    *_TLS,
    *_NAMES,
]
"""What others do."""

EXPERIMENTS: Mapping[int, Sequence[str]] = {
    19: ("silent", "headers that drip", "103 for ever"),
    20: (
        *("a gzip bomb of 50 MB", "a header of 1 MB", "a bad chunk", "status 000"),
        *("reset after the headers", "alert: a certificate is asked for"),
        "certificate of another name",
    ),
    21: (
        *("name that does not exist", "name server fails", "name server is silent"),
        "name that is rebound to the inside",
    ),
}
"""Those that the promises are proved by, by the number of the experiment."""

_LITERALS = ("127.0.0.1", "2130706433", "0x7f.1", "127.1", "[::1]", "[::ffff:127.0.0.1]")

REFUSED: Sequence[Case] = [
    *(
        _case(f"http://{host}:PORT/", stages.nowhere(f"http://{host}:PORT/"), _NOT_ALLOWED)
        for host in (*_LITERALS, "localhost", "[fe80::1%25lo]", "[::1%lo]")
    ),
    *(
        _case(ascii(vector["url"])[1:-1], stages.nowhere(vector["url"]), _NOT_ALLOWED)
        for vector in _VECTORS["urls"]
        if vector["expect"] != "allow"
    ),
    *(
        _case(
            f"a name that leads to {vector['ip']}",
            stages.nowhere(f"http://{stages.NAME}:PORT/", vector["ip"]),
            _NOT_ALLOWED,
        )
        for vector in _VECTORS["ips"]
        if vector["verdict"] != "allow"
    ),
]
"""Where nothing may be sent to: no connection is made at all."""
