"""How every HTTP sender measures where the time of a request went."""

import asyncio
from datetime import timedelta

import pytest
from attrs import asdict

from notification_adapters.http.destination_guard import system_trust
from notification_adapters.http.proxy import EgressProxy
from notification_adapters.http.resolver import NameNotFound
from notification_core.model.phases import REUSED, Phases
from notification_core.ports.sender import HttpSender, SendingFailed
from tests.support.certificates import Authority
from tests.support.egress_proxy import ForwardProxy
from tests.support.raw_receivers import NO_CONTENT, RawReceiver, closes, hangs, says
from tests.support.receivers import LOOPBACK, Receiver
from tests.support.sending import (
    ENOUGH,
    LOOPBACK_OPEN,
    OK,
    SHORT,
    MakeSender,
    Names,
    SilentNames,
    send,
)

NAME = "receiver.example"
NO_TIME = timedelta()


async def phases_of_failure(sender: HttpSender, url: str, within: timedelta = ENOUGH) -> Phases:
    with pytest.raises(SendingFailed) as failed:
        await send(sender, url, within)
    assert failed.value.phases is not None
    return failed.value.phases


def names_of(phases: Phases | None) -> list[str]:
    """Return which phases there were; each took some time, and none more than there was."""
    assert phases is not None
    found = {name: took for name, took in asdict(phases).items() if took is not None}
    assert all(NO_TIME <= took < ENOUGH for took in found.values())
    return [*found]


async def test_a_new_connection_has_its_phases_and_a_reused_one_has_none(
    make_sender: MakeSender, authority: Authority
) -> None:
    sender = make_sender(LOOPBACK_OPEN, ssl_context=authority.trusted_by(system_trust()))
    async with RawReceiver(says(NO_CONTENT), ssl_context=authority.server(NAME)) as receiver:
        first = await send(sender, receiver.url_of(NAME))
        second = await send(sender, receiver.url_of(NAME))
        assert receiver.connections == 1
    assert names_of(first.phases) == ["dns", "connect", "tls", "first_byte"]
    assert second.phases is REUSED


async def test_an_address_is_not_looked_up_and_http_has_no_handshake(sender: HttpSender) -> None:
    async with RawReceiver(says(NO_CONTENT)) as receiver:
        response = await send(sender, receiver.url)
    assert names_of(response.phases) == ["connect", "first_byte"]


async def test_a_request_with_a_connection_of_its_own_always_opens_one(sender: HttpSender) -> None:
    async with RawReceiver(says(NO_CONTENT)) as receiver:
        for _ in range(2):
            response = await send(sender, receiver.url, pool_key=None)
            assert names_of(response.phases) == ["connect", "first_byte"]


async def test_how_long_a_receiver_takes_to_respond_is_the_first_byte(sender: HttpSender) -> None:
    async def slowly(_: object) -> int:
        await asyncio.sleep(SHORT.total_seconds())
        return 200

    async with Receiver(slowly) as receiver:
        phases = (await send(sender, receiver.url)).phases
    assert phases
    assert phases.connect
    assert phases.first_byte
    assert phases.connect < SHORT / 2 < SHORT <= phases.first_byte + timedelta(milliseconds=5)


@pytest.mark.parametrize("is_reused", [False, True])
async def test_a_body_that_comes_later_than_its_head_is_read_for_so_long(
    sender: HttpSender, *, is_reused: bool
) -> None:
    head = OK + b"Content-Length: 4\r\n\r\n"
    late = says(head, b"late", apart=SHORT.total_seconds())
    script = [says(NO_CONTENT), late] if is_reused else [late]
    async with RawReceiver(*script) as receiver:
        if is_reused:
            await send(sender, receiver.url)
        phases = (await send(sender, receiver.url)).phases
    assert phases
    assert phases.is_reused is is_reused
    assert phases.read
    assert phases.read >= SHORT - timedelta(milliseconds=5)
    assert (phases.first_byte or NO_TIME) < SHORT


# What fails


async def test_a_lookup_that_fails_is_the_only_phase(make_sender: MakeSender) -> None:
    sender = make_sender(LOOPBACK_OPEN, names=Names(NameNotFound("There is no such name.")))
    assert names_of(await phases_of_failure(sender, f"http://{NAME}/")) == ["dns"]


async def test_a_lookup_that_takes_too_long_has_all_the_time(make_sender: MakeSender) -> None:
    names = SilentNames([LOOPBACK])
    sender = make_sender(LOOPBACK_OPEN, names=names)
    phases = await phases_of_failure(sender, f"http://{NAME}/", SHORT)
    names.answering.set()
    assert names_of(phases) == ["dns"]
    assert phases.dns
    assert phases.dns >= SHORT - timedelta(milliseconds=5)


async def test_a_refused_connection_has_no_later_phase(sender: HttpSender) -> None:
    async with RawReceiver() as receiver:
        url = receiver.url
    assert names_of(await phases_of_failure(sender, url)) == ["connect"]


async def test_a_handshake_that_fails_is_the_last_phase(
    make_sender: MakeSender, authority: Authority
) -> None:
    sender = make_sender(LOOPBACK_OPEN)
    async with Receiver(ssl_context=authority.server(NAME)) as receiver:
        phases = await phases_of_failure(sender, f"https://{NAME}:{receiver.port}/")
    assert names_of(phases) == ["dns", "connect", "tls"]


async def test_a_handshake_that_does_not_end_has_the_time_that_is_left(
    make_sender: MakeSender,
) -> None:
    sender = make_sender(LOOPBACK_OPEN)
    async with RawReceiver(hangs) as receiver:
        phases = await phases_of_failure(sender, f"https://{LOOPBACK}:{receiver.port}/", SHORT)
    assert names_of(phases) == ["connect", "tls"]
    assert phases.tls
    assert phases.tls > SHORT / 2


async def test_a_receiver_that_does_not_respond_was_waited_for(sender: HttpSender) -> None:
    async with RawReceiver(hangs) as receiver:
        phases = await phases_of_failure(sender, receiver.url, SHORT)
    assert names_of(phases) == ["connect", "first_byte"]
    assert phases.first_byte
    assert phases.first_byte > SHORT / 2


async def test_a_failure_on_a_reused_connection_says_so(sender: HttpSender) -> None:
    async with RawReceiver(says(NO_CONTENT), closes()) as receiver:
        await send(sender, receiver.url)
        assert await phases_of_failure(sender, receiver.url) == REUSED


async def test_what_may_not_be_connected_to_has_no_phases(sender: HttpSender) -> None:
    with pytest.raises(SendingFailed) as failed:
        await send(sender, "http://10.0.0.1/")
    assert failed.value.phases is None


# Through a proxy


async def test_the_tunnel_through_a_proxy_is_part_of_connecting(
    make_sender: MakeSender, authority: Authority
) -> None:
    async with ForwardProxy() as proxy, Receiver(ssl_context=authority.server(NAME)) as receiver:
        sender = make_sender(
            LOOPBACK_OPEN,
            proxy=EgressProxy(LOOPBACK, proxy.port),
            ssl_context=authority.trusted_by(system_trust()),
        )
        url = f"https://{NAME}:{receiver.port}/"
        first, second = await send(sender, url), await send(sender, url)
    assert names_of(first.phases) == ["connect", "tls", "first_byte"]
    assert second.phases is REUSED


async def test_a_proxy_that_makes_no_tunnel_has_no_handshake(make_sender: MakeSender) -> None:
    async with RawReceiver(hangs) as proxy:
        sender = make_sender(LOOPBACK_OPEN, proxy=EgressProxy(LOOPBACK, proxy.port))
        phases = await phases_of_failure(sender, f"https://{NAME}/", SHORT)
    assert names_of(phases) == ["connect"]
