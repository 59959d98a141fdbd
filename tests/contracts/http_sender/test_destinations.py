"""Where every HTTP sender connects to, where it does not, and whom it trusts there."""

import asyncio
import socket
import time
from contextlib import suppress
from datetime import timedelta
from ipaddress import ip_network

import pytest

from notification_adapters.http.resolver import LookupFailed, NameNotFound
from notification_core.model.delivery import AttemptError, ErrorCode
from notification_core.model.destinations import DestinationPolicy, check_url
from tests.conftest import require
from tests.support.raw_receivers import NO_CONTENT, RawReceiver, closes, full_backlog, hangs, says
from tests.support.receivers import Receiver
from tests.support.sending import (
    LOOPBACK_OPEN,
    SHORT,
    MakeSender,
    Names,
    SilentNames,
    failure,
    send,
)
from tests.support.vectors import vectors

NOTHING_OPEN = DestinationPolicy()
ONE_OPEN = DestinationPolicy(allowed_networks=(ip_network("127.0.0.2/32"),))
OPEN, DENIED = "127.0.0.2", "127.0.0.1"
NAME = "receiver.example"
VECTORS = vectors("ssrf")
LAST = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"


# Addresses


@pytest.mark.parametrize("url", ["ftp://a.example/", "http://a@b.example/", "no url", ""])
async def test_a_stored_url_that_is_no_longer_allowed_is_not_sent_to(
    make_sender: MakeSender, url: str
) -> None:
    error = await failure(make_sender(LOOPBACK_OPEN), url)
    assert error.code is ErrorCode.DESTINATION_NOT_ALLOWED


async def test_a_name_is_looked_up_as_an_absolute_one(make_sender: MakeSender) -> None:
    names = Names([OPEN])
    async with RawReceiver(says(NO_CONTENT), host=OPEN) as receiver:
        sender = make_sender(ONE_OPEN, names=names)
        assert (await send(sender, receiver.url_of(NAME.upper()))).http_code == 204
        assert (await send(sender, receiver.url_of(f"{NAME}."))).http_code == 204
    assert set(names.asked) == {f"{NAME}."}


async def test_another_address_is_tried_where_one_refuses(make_sender: MakeSender) -> None:
    names = Names(["127.0.0.3", "127.0.0.4", OPEN])
    async with RawReceiver(says(NO_CONTENT), host=OPEN) as receiver:
        sender = make_sender(LOOPBACK_OPEN, names=names)
        assert (await send(sender, receiver.url_of(NAME))).http_code == 204


async def test_an_address_that_does_not_answer_is_not_waited_for(make_sender: MakeSender) -> None:
    async with RawReceiver(says(NO_CONTENT), host=OPEN) as receiver:
        with full_backlog("127.0.0.3", receiver.port):
            sender = make_sender(LOOPBACK_OPEN, names=Names(["127.0.0.3", OPEN]))
            assert (await send(sender, receiver.url_of(NAME))).http_code == 204


async def test_localhost_is_this_host_without_a_dns_query(make_sender: MakeSender) -> None:
    names = Names()
    async with RawReceiver(says(NO_CONTENT)) as receiver:
        sender = make_sender(LOOPBACK_OPEN, names=names)
        for host in ("localhost", "hooks.localhost", "LOCALHOST."):
            assert (await send(sender, receiver.url_of(host))).http_code == 204
    assert names.asked == []


async def test_localhost_is_only_what_is_allowed_of_it(make_sender: MakeSender) -> None:
    async with Receiver() as receiver:
        await receiver.down()
        error = await failure(make_sender(LOOPBACK_OPEN), f"http://localhost:{receiver.port}/")
    assert error == AttemptError(ErrorCode.CONNECT, "The connection was refused.")


async def test_a_literal_address_is_checked_again_when_connecting(
    make_sender: MakeSender, monkeypatch: pytest.MonkeyPatch
) -> None:
    sender = make_sender(NOTHING_OPEN)
    monkeypatch.setattr(
        f"{type(sender).__module__}.check_url", lambda url, _: check_url(url, LOOPBACK_OPEN)
    )
    async with RawReceiver(says(NO_CONTENT)) as receiver:
        error = await failure(sender, receiver.url)
        assert receiver.connections == 0
    assert error.code is ErrorCode.DESTINATION_NOT_ALLOWED


async def test_a_looked_up_address_is_checked_again_when_connecting(
    make_sender: MakeSender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("notification_adapters.http.resolver.require_allowed", lambda *_: None)
    async with RawReceiver(says(NO_CONTENT)) as receiver:
        error = await failure(make_sender(NOTHING_OPEN), receiver.url_of(NAME))
        assert receiver.connections == 0
    assert error.code is ErrorCode.DESTINATION_NOT_ALLOWED


async def test_an_ipv6_address_is_connected_to_and_stands_in_brackets(
    make_sender: MakeSender,
) -> None:
    require(speaks_ipv6(), "This host has no ::1; give its loopback an IPv6 address.")
    sender = make_sender(DestinationPolicy(allowed_networks=(ip_network("::1/128"),)))
    async with RawReceiver(says(NO_CONTENT), host="::1") as receiver:
        assert (await send(sender, receiver.url_of("[::1]"))).http_code == 204
        assert f"\r\nHost: [::1]:{receiver.port}\r\n".encode() in receiver.requests[0]


def speaks_ipv6() -> bool:
    with suppress(OSError), socket.create_server(("::1", 0), family=socket.AF_INET6):
        return True
    return False


# DNS lookups


@pytest.mark.parametrize("answer", [NameNotFound("No such name."), LookupFailed("No answer.")])
@pytest.mark.experiment(21, "a name that cannot be looked up")
async def test_a_name_that_cannot_be_looked_up_is_a_dns_error(
    make_sender: MakeSender, answer: LookupFailed
) -> None:
    error = await failure(make_sender(ONE_OPEN, names=Names(answer)), f"http://{NAME}/")
    assert error == AttemptError(ErrorCode.DNS, str(answer))


async def test_a_failed_look_up_is_not_kept(make_sender: MakeSender) -> None:
    names = Names(LookupFailed("No answer."), [OPEN])
    async with RawReceiver(says(NO_CONTENT), host=OPEN) as receiver:
        sender = make_sender(ONE_OPEN, names=names)
        await failure(sender, receiver.url_of(NAME))
        assert (await send(sender, receiver.url_of(NAME))).http_code == 204


async def test_a_name_is_looked_up_once_for_all_that_wait_and_the_answer_is_kept(
    make_sender: MakeSender,
) -> None:
    names = SilentNames([OPEN])
    async with RawReceiver(closes(LAST), host=OPEN) as receiver:
        sender = make_sender(ONE_OPEN, names=names)
        waiting = [asyncio.create_task(send(sender, receiver.url_of(NAME))) for _ in range(50)]
        await failure(sender, receiver.url_of(NAME), SHORT)
        names.answering.set()
        await asyncio.gather(*waiting)
        await send(sender, receiver.url_of(NAME))
        assert receiver.connections == 51
    assert len(names.asked) == 1


async def test_the_time_limit_spans_the_look_up_and_the_response(make_sender: MakeSender) -> None:
    names = SilentNames([OPEN])
    sender = make_sender(LOOPBACK_OPEN, names=names)
    async with RawReceiver(hangs, host=OPEN) as receiver:
        began = time.monotonic()
        limit = timedelta(seconds=2)
        sending = asyncio.create_task(failure(sender, receiver.url_of(NAME), limit))
        await asyncio.sleep(1.2)
        names.answering.set()
        assert (await sending).code is ErrorCode.TIMEOUT
        assert len(receiver.requests) == 1
    assert time.monotonic() - began < 3.1


@pytest.mark.experiment(21, "a DNS lookup that hangs")
async def test_a_look_up_that_hangs_ends_at_the_timeout_and_delays_no_other_name(
    make_sender: MakeSender,
) -> None:
    sender = make_sender(LOOPBACK_OPEN, names=SilentNames([OPEN]))
    async with Receiver() as receiver:
        began = time.monotonic()
        hanging = asyncio.create_task(failure(sender, f"http://{NAME}/", SHORT))
        assert (await send(sender, receiver.url, SHORT)).http_code == 200
        assert (await hanging).code is ErrorCode.TIMEOUT
    assert time.monotonic() - began < 2
