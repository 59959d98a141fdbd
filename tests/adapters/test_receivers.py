"""The receivers that other tests rely on do what their scripts say."""

import asyncio

import aiohttp
import pytest
from aiohttp import web

from tests.support.receivers import Receiver


async def test_a_receiver_answers_by_its_script_and_repeats_the_last_response() -> None:
    async with Receiver(500, lambda _: web.Response(status=418)) as receiver, session() as client:
        statuses = [(await client.post(receiver.url, data=b"x")).status for _ in range(3)]
    assert statuses == [500, 418, 418]


async def test_a_receiver_remembers_what_came() -> None:
    async with Receiver() as receiver, session() as client:
        await client.put(receiver.url + "a?b=1", data=b"body", headers=[("X-A", "1"), ("X-A", "2")])
        (request,) = await receiver.wait_for(1)
    assert (request.method, request.path, request.body) == ("PUT", "/a?b=1", b"body")
    assert request.headers.getall("X-A") == ["1", "2"]


async def test_a_receiver_hangs_until_it_is_released() -> None:
    async with Receiver("hang") as receiver, session() as client:
        response = asyncio.create_task(client.post(receiver.url))
        await receiver.wait_for(1)
        assert (response.done(), receiver.in_flight) == (False, 1)
        receiver.release()
        assert (await response).status == 200


async def test_a_receiver_that_hangs_can_still_be_closed() -> None:
    async with session() as client:
        async with Receiver("hang") as receiver:
            response = asyncio.create_task(client.post(receiver.url))
            await receiver.wait_for(1)
        with pytest.raises(aiohttp.ClientError):
            await response


async def test_a_receiver_resets_connections() -> None:
    async with Receiver("reset") as receiver, session() as client:
        with pytest.raises(aiohttp.ClientOSError):
            await client.post(receiver.url)


async def test_a_receiver_goes_down_and_comes_back_where_it_was() -> None:
    async with Receiver(204) as receiver, session() as client:
        await receiver.down()
        with pytest.raises(aiohttp.ClientConnectorError):
            await client.post(receiver.url)
        await receiver.up()
        assert (await client.post(receiver.url)).status == 204


async def test_waiting_for_requests_that_do_not_come_fails_with_what_did() -> None:
    async with Receiver() as receiver:
        with pytest.raises(AssertionError, match="Only 0 requests"):
            await receiver.wait_for(1, within=0.01)


def session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession()
