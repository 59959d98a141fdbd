"""The scripted sender, on which the core's tests rely, does what its scripts say."""

import asyncio
from datetime import timedelta

import pytest

from notification_adapters.memory.sender import Hang, ScriptedSender
from notification_core.model.delivery import ErrorCode, ReceivedResponse
from notification_core.model.webhook import Method
from notification_core.ports.sender import HttpRequest, SendingFailed

URL = "https://receiver.example/"
OTHER = "https://other.example/"
SOON = timedelta(seconds=0.01)
LATE = timedelta(seconds=10)


async def test_each_url_has_its_script_and_the_last_response_repeats() -> None:
    sender = ScriptedSender()
    sender.respond(URL, 500, 204)
    statuses = [(await send(sender, url)).http_code for url in (URL, OTHER, URL, URL)]
    assert statuses == [500, 200, 204, 204]
    assert len(sender.requests_to(URL)) == 3


async def test_a_script_can_fail_to_send_and_can_give_a_whole_response() -> None:
    sender = ScriptedSender()
    slow_down = ReceivedResponse(429, (("Retry-After", "3"),), b"later")
    sender.respond(URL, ErrorCode.CONNECT, slow_down)
    with pytest.raises(SendingFailed) as failure:
        await send(sender, URL)
    assert failure.value.error.code is ErrorCode.CONNECT
    assert await send(sender, URL) is slow_down


async def test_what_hangs_ends_when_it_is_released() -> None:
    sender = ScriptedSender()
    sender.respond(URL, Hang.HANG)
    hanging = asyncio.create_task(send(sender, URL))
    await sender.wait_for(1)
    await send(sender, OTHER)
    assert (hanging.done(), sender.in_flight) == (False, 1)
    sender.release(URL, 202)
    assert ((await hanging).http_code, sender.in_flight) == (202, 0)


async def test_what_hangs_ends_at_its_timeout() -> None:
    sender = ScriptedSender()
    sender.respond(URL, Hang.HANG)
    with pytest.raises(SendingFailed) as failure:
        await send(sender, URL, SOON)
    assert failure.value.error.code is ErrorCode.TIMEOUT


async def send(sender: ScriptedSender, url: str, within: timedelta = LATE) -> ReceivedResponse:
    return await sender.send(HttpRequest(Method.POST, url, (), b"{}"), within)
