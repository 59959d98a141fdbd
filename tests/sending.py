"""Sending in a few words, for the tests of senders."""

import time
from collections.abc import Callable
from datetime import timedelta
from ipaddress import ip_network

import pytest

from notification_core.deliveries import AttemptError, ReceivedResponse
from notification_core.destinations import DestinationPolicy
from notification_core.ports.sender import HttpRequest, HttpSender, SendingFailed
from notification_core.webhooks import Method

MakeSender = Callable[[DestinationPolicy], HttpSender]

LOOPBACK_OPEN = DestinationPolicy(allowed_networks=(ip_network("127.0.0.0/8"),))
ENOUGH = timedelta(seconds=10)
SHORT = timedelta(seconds=0.3)
MARGIN = 2.0

OK = b"HTTP/1.1 200 OK\r\n"
EMPTY = b"Content-Length: 0\r\n\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


async def send(
    sender: HttpSender, url: str, within: timedelta = ENOUGH, *, method: Method = Method.POST
) -> ReceivedResponse:
    return await sender.send(HttpRequest(method, url, (), b"{}"), within)


async def failure(
    sender: HttpSender, url: str, within: timedelta = ENOUGH, *, method: Method = Method.POST
) -> AttemptError:
    with pytest.raises(SendingFailed) as failed:
        await send(sender, url, within, method=method)
    return failed.value.error


def assert_on_time(began: float) -> None:
    took = time.monotonic() - began
    assert SHORT.total_seconds() - 0.01 <= took < SHORT.total_seconds() + MARGIN
