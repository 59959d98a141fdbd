"""What every HTTP sender says if this host lacks something: nothing about the receiver."""

import errno
import socket
from typing import Any

import pytest

from notification_adapters.http.proxy import EgressProxy
from notification_adapters.http.resolver import Dns
from notification_core.errors import Resource, ResourceShort
from notification_core.model.delivery import ErrorCode
from notification_core.ports.sender import HttpSender
from tests.support.descriptors import no_descriptors
from tests.support.egress_proxy import ForwardProxy
from tests.support.name_server import name_server
from tests.support.ports import free_ports
from tests.support.receivers import LOOPBACK, Receiver
from tests.support.sending import LOOPBACK_OPEN, MakeSender, Names, failure, send


async def test_without_a_descriptor_nothing_is_sent_and_no_receiver_is_blamed(
    sender: HttpSender,
) -> None:
    async with Receiver() as receiver:
        with no_descriptors(), pytest.raises(ResourceShort) as short:
            await send(sender, receiver.url)
        assert short.value.resource is Resource.DESCRIPTORS
        assert receiver.requests == []
        assert (await send(sender, receiver.url)).http_code == 200


async def test_a_shortage_shows_through_the_failure_of_another_address(
    make_sender: MakeSender, monkeypatch: pytest.MonkeyPatch
) -> None:
    (port,) = free_ports(1)
    sender = make_sender(LOOPBACK_OPEN, names=Names(["127.0.0.1", "127.0.0.2"]))
    _connects_fail(monkeypatch, errno.ENOBUFS, "127.0.0.2")
    with pytest.raises(ResourceShort) as short:
        await send(sender, f"http://receiver.example:{port}/")
    assert short.value.resource is Resource.MEMORY


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM])
async def test_each_error_of_a_connect_that_is_ours_is_told_apart(
    sender: HttpSender, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    _connects_fail(monkeypatch, number, "127.0.0.1")
    with pytest.raises(ResourceShort):
        await send(sender, "http://127.0.0.1:8080/")


async def test_no_port_for_an_address_that_the_host_can_send_to_is_a_shortage(
    sender: HttpSender, monkeypatch: pytest.MonkeyPatch
) -> None:
    _connects_fail(monkeypatch, errno.EADDRNOTAVAIL, "127.0.0.1")
    with pytest.raises(ResourceShort) as short:
        await send(sender, "http://127.0.0.1:8080/")
    assert short.value.resource is Resource.PORTS


async def test_an_address_of_a_family_that_the_host_lacks_is_a_failed_attempt(
    sender: HttpSender, monkeypatch: pytest.MonkeyPatch
) -> None:
    _connects_fail(monkeypatch, errno.EADDRNOTAVAIL, "127.0.0.1", datagrams=True)
    error = await failure(sender, "http://127.0.0.1:8080/")
    assert error.code is ErrorCode.CONNECT


async def test_a_proxy_that_cannot_be_connected_to_for_want_of_a_descriptor_is_not_blamed(
    make_sender: MakeSender,
) -> None:
    async with ForwardProxy() as proxy, Receiver() as receiver:
        sender = make_sender(LOOPBACK_OPEN, proxy=EgressProxy(LOOPBACK, proxy.port))
        with no_descriptors(), pytest.raises(ResourceShort):
            await send(sender, receiver.url)
        assert (await send(sender, receiver.url)).http_code == 200


async def test_a_name_that_cannot_be_asked_for_want_of_a_descriptor_is_no_failed_look_up(
    make_sender: MakeSender,
) -> None:
    async with Receiver() as receiver, name_server("127.0.0.1") as server:
        sender = make_sender(LOOPBACK_OPEN, names=Dns([server.address]))
        url = f"http://receiver.example:{receiver.port}/"
        with no_descriptors(), pytest.raises(ResourceShort) as short:
            await send(sender, url)
        assert short.value.resource is Resource.DESCRIPTORS
        assert (await send(sender, url)).http_code == 200


async def test_name_servers_that_cannot_be_contacted_are_no_fault_of_the_name(
    make_sender: MakeSender,
) -> None:
    (port,) = free_ports(1)
    sender = make_sender(LOOPBACK_OPEN, names=Dns([f"127.0.0.1:{port}"]))
    with pytest.raises(ResourceShort) as short:
        await send(sender, "http://receiver.example:8080/")
    assert short.value.resource is Resource.RESOLVER


def _connects_fail(
    monkeypatch: pytest.MonkeyPatch, number: int, host: str, *, datagrams: bool = False
) -> None:
    connect = socket.socket.connect

    def failing(self: socket.socket, address: Any) -> None:
        if address[0] == host and (datagrams or self.type == socket.SOCK_STREAM):
            raise OSError(number, "as the test wants it")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", failing)
