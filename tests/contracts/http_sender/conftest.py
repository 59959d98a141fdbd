"""Every sender that the contract holds for, on every loop that it may run on."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack
from importlib.util import find_spec
from pathlib import Path

import pytest
import uvloop

from notification_adapters.http.proxy import EgressProxy
from notification_adapters.http.resolver import NameService
from notification_core.model.destinations import DestinationPolicy
from notification_core.ports.sender import HttpSender
from tests.conftest import require
from tests.support.certificates import Authority
from tests.support.sending import LOOPBACK_OPEN, MakeSender, Names, usual_trust


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run each test on asyncio's own loop, and on the one that runs in production."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


def _aiohttp() -> MakeSender:
    from notification_adapters.http.aiohttp import AiohttpSender  # noqa: PLC0415 - only its own tests need it

    return AiohttpSender


def _native() -> MakeSender:
    require(find_spec("httptools"), "Install httptools, which reads responses: the extra native.")
    from notification_adapters.http.native import NativeSender  # noqa: PLC0415 - the same

    return NativeSender


@pytest.fixture(params=[_aiohttp, _native], ids=["aiohttp", "native"])
async def make_sender(request: pytest.FixtureRequest) -> AsyncIterator[MakeSender]:
    """Make senders that end with the test, and to which every name leads to loopback."""
    choose: Callable[[], MakeSender] = request.param
    make = choose()
    async with AsyncExitStack() as stack:

        def made(
            policy: DestinationPolicy,
            *,
            names: NameService | None = None,
            ssl_context: ssl.SSLContext | None = None,
            proxy: EgressProxy | None = None,
        ) -> HttpSender:
            sender = make(
                policy,
                names=names or Names(["127.0.0.1"]),
                ssl_context=ssl_context or usual_trust(),
                proxy=proxy,
            )
            stack.push_async_callback(sender.close)
            return sender

        yield made


@pytest.fixture(autouse=True)
async def nothing_goes_wrong_unseen() -> AsyncIterator[None]:
    """Fail the test in which an exception came that nobody was there to take."""
    unseen: list[Mapping[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unseen.append(context))
    yield
    assert unseen == []


@pytest.fixture
async def sender(make_sender: MakeSender) -> HttpSender:
    """Make a sender to loopback."""
    return make_sender(LOOPBACK_OPEN)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Make an authority that nobody trusts unless told to."""
    return Authority(tmp_path)
