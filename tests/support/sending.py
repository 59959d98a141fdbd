"""Sending in a few words, for the tests of senders."""

import asyncio
import ssl
import time
from collections.abc import Sequence
from datetime import timedelta
from functools import cache
from ipaddress import ip_network
from typing import Protocol

import pytest

from notification_adapters.http.destination_guard import system_trust
from notification_adapters.http.proxy import EgressProxy
from notification_adapters.http.resolver import LookupFailed, NameService
from notification_core.model.delivery import AttemptError, ReceivedResponse
from notification_core.model.destinations import DestinationPolicy
from notification_core.model.webhook import Method
from notification_core.ports.sender import HttpRequest, HttpSender, SendingFailed

LOOPBACK_OPEN = DestinationPolicy(allowed_networks=(ip_network("127.0.0.0/8"),))
ENOUGH = timedelta(seconds=10)
SHORT = timedelta(seconds=0.3)
MARGIN = 2.0

OK = b"HTTP/1.1 200 OK\r\n"
EMPTY = b"Content-Length: 0\r\n\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


@cache
def usual_trust() -> ssl.SSLContext:
    """Return what senders trust where they are told nothing: the system's store, read once."""
    return system_trust()


class MakeSender(Protocol):
    def __call__(
        self,
        policy: DestinationPolicy,
        *,
        names: NameService | None = None,
        ssl_context: ssl.SSLContext | None = None,
        proxy: EgressProxy | None = None,
    ) -> HttpSender: ...


class Names(NameService):
    """A DNS server that gives one answer after the other, and then the last for ever."""

    def __init__(self, *answers: Sequence[str] | LookupFailed) -> None:
        self.asked: list[str] = []
        self._answers = answers

    async def addresses(self, name: str) -> Sequence[str]:
        self.asked.append(name)
        answer = self._answers[min(len(self.asked), len(self._answers)) - 1]
        if isinstance(answer, LookupFailed):
            raise answer
        return answer

    async def close(self) -> None:
        pass


class SilentNames(Names):
    """A DNS server that does not respond before it is told to."""

    def __init__(self, *answers: Sequence[str]) -> None:
        super().__init__(*answers)
        self.answering = asyncio.Event()

    async def addresses(self, name: str) -> Sequence[str]:
        addresses = await super().addresses(name)
        await self.answering.wait()
        return addresses


async def send(
    sender: HttpSender,
    url: str,
    within: timedelta = ENOUGH,
    *,
    method: Method = Method.POST,
    pool_key: str | None = "an environment",
) -> ReceivedResponse:
    return await sender.send(HttpRequest(method, url, (), b"{}", pool_key), within)


async def failure(
    sender: HttpSender, url: str, within: timedelta = ENOUGH, *, method: Method = Method.POST
) -> AttemptError:
    with pytest.raises(SendingFailed) as failed:
        await send(sender, url, within, method=method)
    return failed.value.error


def assert_on_time(began: float) -> None:
    took = time.monotonic() - began
    assert SHORT.total_seconds() - 0.01 <= took < SHORT.total_seconds() + MARGIN
