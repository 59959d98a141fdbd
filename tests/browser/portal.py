"""The portal in a frame of another site's page, as ``docs/examples/portal_host.py`` shows it.

The host's page is at ``localhost``, the server at ``127.0.0.1``: of two sites. The browser keeps no
third-party cookies but partitioned ones.
"""

import secrets
import sys
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import aiohttp
from playwright.async_api import Browser, BrowserContext, Error, Page, expect

from tests.support.ports import free_ports
from tests.support.services import running, until_ok

EXAMPLE: Final = Path(__file__).parents[2] / "docs/examples/portal_host.py"
BLOCKS_THIRD_PARTY_COOKIES: Final = "--test-third-party-cookie-phaseout"


async def run(browser: Browser) -> Sequence[str]:
    """Let a customer use the portal in a frame; return what went wrong."""
    faults = []
    async with _host() as (host, other, server):
        context = await browser.new_context()
        try:
            await _story(context, host, other, server)
        except (AssertionError, Error) as error:
            faults.append(f"the portal in a frame: {error}")
        await context.close()
    print(f"story of the portal: {'failed' if faults else 'passed'}")
    return faults


@asynccontextmanager
async def _host() -> AsyncIterator[tuple[str, str, str]]:
    """Run a server and a host; give the host's origin, the same by another name, the server's."""
    api, ops, port = free_ports(3)
    server, host, key = f"http://127.0.0.1:{api}", f"http://localhost:{port}", secrets.token_hex(32)
    variables = {
        "API_SERVER_PORT": str(api),
        "OPS_SERVER_PORT": str(ops),
        "API_AUTH": "api_key",
        "API_BOOTSTRAP_KEY": key,
        "CONSOLE_FRAME_ANCESTORS": host,
    }
    client = {"NOTIFICATION_API_URL": f"{server}/api", "NOTIFICATION_API_KEY": key}
    command = (sys.executable, str(EXAMPLE), str(uuid.uuid4()), str(port))
    with TemporaryDirectory() as folder:
        up = ("notification-management", "up", "--data", folder)
        async with (
            running(Path(folder), up, variables),
            aiohttp.ClientSession() as session,
        ):
            await until_ok(session, f"http://127.0.0.1:{ops}/readyz")
            async with running(Path(folder), command, client):
                await until_ok(session, host)
                yield host, f"http://127.0.0.1:{port}", server


async def _story(context: BrowserContext, host: str, other: str, server: str) -> None:
    page = await context.new_page()
    await page.goto(host)
    frame = page.frame_locator("iframe")
    await expect(frame.get_by_role("heading", name="Overview")).to_be_visible()
    # The code is used up; what follows goes by the cookie alone.
    await frame.get_by_role("link", name="Webhooks", exact=True).first.click()
    await frame.get_by_role("link", name="New webhook").first.click()
    await frame.get_by_label("Name", exact=True).fill("Mine")
    await frame.get_by_label("URL", exact=True).fill("https://example.com/hook")
    await frame.locator("input[name=events]").first.check()
    await frame.get_by_role("button", name="Create").click()
    await expect(frame.get_by_role("heading", name="Mine")).to_be_visible()
    (cookie,) = await context.cookies(server)
    assert cookie["name"] == "__Host-notification-portal"
    assert (cookie["secure"], cookie["httpOnly"], cookie["sameSite"]) == (True, True, "None")
    assert "localhost" in str(cookie.get("partitionKey")), "The cookie is not partitioned."
    await _is_nobodys_elsewhere(page, server)
    await _is_framed_by_nobody_else(page, other)


async def _is_nobodys_elsewhere(page: Page, server: str) -> None:
    """Open the server by itself: the session is of the frame below that very site."""
    await page.goto(f"{server}/console/")
    await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


async def _is_framed_by_nobody_else(page: Page, other: str) -> None:
    """Frame it in a page whose origin is not among CONSOLE_FRAME_ANCESTORS: nothing is shown."""
    await page.goto(other)
    framed = page.frame_locator("iframe").get_by_role("heading", name="Overview")
    await expect(framed).to_have_count(0)
