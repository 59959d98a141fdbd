"""Who may call, with real processes: from the first key to one that is revoked everywhere."""

import asyncio
import json
import os
import time
from http import HTTPStatus
from pathlib import Path

import aiohttp

from tests.faults.stage import COMMAND, Up, running
from tests.support.receivers import Receiver

BOOTSTRAP = "bootstrap-" + "b" * 32
WITHIN = 1.0
"""Within how many seconds a revocation takes effect in every process."""

_ENVIRONMENT = "0b6f2e0c-5d0c-4d7e-8a57-2f7a3f0f6f10"


async def command(up: Up, key: str, *arguments: str) -> tuple[int, str, str]:
    """Run a client command with a key; return its exit code and what it said."""
    environ = {**os.environ, "NOTIFICATION_API_KEY": key}
    environ["NOTIFICATION_API_URL"] = f"http://127.0.0.1:{up.ports[0]}/api"
    process = await asyncio.create_subprocess_exec(
        COMMAND, *arguments, env=environ, stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def status(up: Up, key: str) -> int:
    url = f"http://127.0.0.1:{up.ports[0]}/api/environments/{_ENVIRONMENT}/webhooks"
    headers = {"Authorization": f"Bearer {key}"}
    async with aiohttp.request("GET", url, headers=headers) as response:
        return response.status


async def test_from_the_first_key_to_one_that_is_revoked_everywhere(tmp_path: Path) -> None:
    secret = tmp_path / "bootstrap"
    secret.write_text(f"{BOOTSTRAP}\n")
    settings = {"API_AUTH": "api_key", "API_BOOTSTRAP_KEY_FILE": str(secret)}
    # Loopback is not open to webhooks once callers are authenticated.
    settings |= {"WEBHOOKS_ALLOWED_NETWORKS": "127.0.0.0/8"}
    async with running(tmp_path, **settings) as (up, _), running(tmp_path, **settings) as (two, _):
        create = ("keys", "create", "--name", "Publisher", "--scope", "write")
        chosen = ("--environment", _ENVIRONMENT, "--json")
        made = json.loads((await command(up, BOOTSTRAP, *create, *chosen))[1])
        async with Receiver() as receiver:
            subscribe = ("webhooks", "create", "--environment", _ENVIRONMENT, "--url", receiver.url)
            assert (await command(up, made["key"], *subscribe))[0] == 0
            publish = ("publish", "--environment", _ENVIRONMENT, "--event", "job-created")
            assert (await command(two, made["key"], *publish, "--data", "{}"))[0] == 0
            await receiver.wait_for(1)
        denied, _, said = await command(up, made["key"], *create, *chosen)
        assert denied == 8
        assert "the scope admin" in said
        assert await status(two, made["key"]) == HTTPStatus.OK
        revoke = ("keys", "revoke", made["key_id"], "--yes")
        assert (await command(up, BOOTSTRAP, *revoke))[0] == 0
        revoked_at = time.monotonic()
        assert await status(up, made["key"]) == HTTPStatus.UNAUTHORIZED
        while await status(two, made["key"]) != HTTPStatus.UNAUTHORIZED:
            assert time.monotonic() - revoked_at < WITHIN
        shown = up.said()
    for key in (BOOTSTRAP, made["key"], made["key"][-43:]):
        assert key not in shown


async def test_a_customer_cannot_have_the_ops_server_called(tmp_path: Path) -> None:
    settings = {"API_AUTH": "api_key", "API_BOOTSTRAP_KEY": BOOTSTRAP, "DEBUG": "true"}
    async with running(tmp_path, **settings) as (up, _):
        create = ("keys", "create", "--name", "Customer", "--scope", "write", "--json")
        key = json.loads((await command(up, BOOTSTRAP, *create, "--environment", _ENVIRONMENT))[1])[
            "key"
        ]
        for host in ("127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]"):
            url = f"http://{host}:{up.ports[1]}/debug/settings"
            subscribe = ("webhooks", "create", "--environment", _ENVIRONMENT, "--url", url)
            refused, _, said = await command(up, key, *subscribe, "--method", "get")
            assert refused == 4
            assert "url" in said


async def test_an_api_that_nobody_can_call_says_how_to_begin(tmp_path: Path) -> None:
    async with running(tmp_path, API_AUTH="api_key") as (up, _):
        assert "API_BOOTSTRAP_KEY" in up.said()


async def test_an_api_that_all_could_call_is_not_started(tmp_path: Path) -> None:
    up = Up(tmp_path, {"API_SERVER_HOST": "0.0.0.0"})  # noqa: S104 - it is refused
    await up.spawn()
    assert await up.ended() == 7
    assert "API_AUTH must be set" in up.said()
    assert "a comma list of none, api_key, jwt" in up.said()
