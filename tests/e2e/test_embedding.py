"""The examples of hosts that embed the library, run as they stand."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from http import HTTPStatus
from pathlib import Path

import pytest
from aiohttp import ClientError, ClientSession

from tests.support.ports import free_ports
from tests.support.postgres_server import PostgresServer
from tests.support.receivers import Receiver
from tests.support.waiting import until

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
ENVIRONMENT = "0b6f2e0c-5d0c-4d7e-8a57-2f7a3f0f6f10"
JOB = "c2f1b7de-40a8-4f3b-8f6f-5b8e6d1a9b21"


@pytest.fixture(params=["sqlite", "postgres"])
def server(request: pytest.FixtureRequest) -> PostgresServer | None:
    found = request.getfixturevalue("postgres") if request.param == "postgres" else None
    assert found is None or isinstance(found, PostgresServer)
    return found


@pytest.fixture
async def database(server: PostgresServer | None, tmp_path: Path) -> AsyncIterator[str]:
    async with AsyncExitStack() as stack:
        if server is None:
            yield f"sqlite:///{tmp_path / 'host.sqlite'}"
        else:
            name = await stack.enter_async_context(server.database(empty=True))
            yield server.database_uri(name)


@asynccontextmanager
async def running(example: str, database: str, receiver: Receiver) -> AsyncIterator[str]:
    """Run a service of the examples for the length of the block; it has to end well."""
    (port,) = free_ports(1)
    variables = {"DATABASE": database, "RECEIVER": receiver.url, "PORT": str(port)}
    process = await asyncio.create_subprocess_exec(
        sys.executable, EXAMPLES / example, env={**os.environ, **variables}
    )
    try:
        url = f"http://127.0.0.1:{port}"
        await until(f"{example} answers", lambda: responds(url), 60)
        yield url
    finally:
        if process.returncode is None:
            process.terminate()
        code = await asyncio.wait_for(process.wait(), 20)
    # Some servers, having ended in order, end by the signal that told them to.
    assert code in {0, -signal.SIGTERM}


async def responds(url: str) -> bool:
    try:
        async with ClientSession() as session, session.get(url):
            return True
    except ClientError:
        return False


async def post(url: str) -> int:
    async with ClientSession() as session, session.post(url) as response:
        return response.status


async def test_the_script_delivers_and_ends(tmp_path: Path) -> None:
    async with Receiver() as receiver:
        script = await asyncio.create_subprocess_exec(
            sys.executable, EXAMPLES / "embed_script.py", tmp_path, receiver.url
        )
        assert await asyncio.wait_for(script.wait(), 60) == 0
        (request,) = receiver.requests
        assert b'"status":"succeeded"}' in request.body


async def test_the_aiohttp_service_tells_of_what_it_stores_and_of_nothing_else(
    database: str,
) -> None:
    async with Receiver() as receiver, running("embed_aiohttp.py", database, receiver) as url:
        assert await post(f"{url}/jobs/{JOB}") == HTTPStatus.CREATED
        await receiver.wait_for(1)
        assert await post(f"{url}/jobs/{JOB}") == HTTPStatus.CONFLICT
        assert await post(f"{url}/jobs/another") == HTTPStatus.CREATED
        first, second = await receiver.wait_for(2)
        assert JOB.encode() in first.body
        assert b"another" in second.body
        webhooks = f"{url}/notifications/environments/{ENVIRONMENT}/webhooks"
        async with ClientSession() as session, session.get(webhooks) as listed:
            assert [webhook["name"] for webhook in await listed.json()] == ["us"]


async def test_the_fastapi_service_tells_once(database: str) -> None:
    async with Receiver() as receiver, running("embed_fastapi.py", database, receiver) as url:
        for told_before in (False, True):
            async with ClientSession() as session, session.post(f"{url}/jobs/{JOB}") as response:
                assert response.status == HTTPStatus.ACCEPTED
                assert await response.json() == {"told_before": told_before}
        (request,) = await receiver.wait_for(1)
        assert request.headers["webhook-id"] == f"msg_{JOB}"
