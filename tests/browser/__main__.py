"""``python -m tests.browser``: the console's pages in a real browser, with and without JavaScript.

A server with webhooks that work, that fail and that were never sent to is looked at by Debian's
Chromium, at three widths and in both colour schemes. A page fails that does not return 200,
that violates its content security policy, logs an error, asks another origin for anything, is
wider than its window, or in which axe finds a fault of accessibility. With ``--pictures FOLDER``
pictures of the pages are written there. Ends with 1 if any failed.
"""

import asyncio
import shutil
import subprocess
import sys
import uuid
from argparse import ArgumentParser
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from http import HTTPStatus
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from uuid import UUID

import aiohttp
from playwright.async_api import Browser, Page, Playwright, Request, Response, async_playwright

from tests.browser import portal, stories, times
from tests.browser.day import add_day
from tests.browser.letters import add_letters
from tests.browser.pictures import draw
from tests.support.ports import free_ports
from tests.support.services import START_SECONDS, responding, running, until_ok

HERE: Final = Path(__file__).parent
CHROMIUM: Final = shutil.which("chromium") or shutil.which("chromium-browser")
WIDTHS: Final = (360, 768, 1440)
_HEIGHT: Final = 900
_EVENTS: Final = 40
_AXE_RULES: Final = "{runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice']}"


async def main() -> int:
    """Look at every page; return how many things were wrong."""
    parser = ArgumentParser(prog="nox -s console --")
    parser.add_argument("--pictures", type=Path, help="write the pages here")
    parser.add_argument(
        "--times", nargs="*", choices=times.STORAGES, help="measure with a million deliveries"
    )
    given = parser.parse_args()
    if given.times is not None:
        await times.run(given.times or [*times.STORAGES])
        return 0
    if CHROMIUM is None:
        sys.exit("There is no Chromium here: apt-get install chromium")
    axe = _axe()
    faults: list[str] = []
    async with _console() as (url, paths, call), async_playwright() as playwright:
        browser = await _launch(playwright)
        for scheme, script in product(("light", "dark"), (True, False)):
            found = await _look(browser, url, paths, scheme, script=axe if script else None)
            with_script = "with" if script else "without"
            print(f"{len(paths)} pages, {scheme}, {with_script} JavaScript: {len(found)} faults")
            faults += found
        if given.pictures is not None:
            await draw(browser, url, paths, WIDTHS, given.pictures)
        faults += await stories.run(browser, url, paths, call)
        faults += await portal.run(await _launch(playwright, portal.BLOCKS_THIRD_PARTY_COOKIES))
        await browser.close()
    for fault in dict.fromkeys(faults):
        print(f"- {fault}")
    return len(faults)


async def _launch(playwright: Playwright, *options: str) -> Browser:
    return await playwright.chromium.launch(
        executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage", *options]
    )


def _axe() -> str:
    """Return axe-core's source, as the lock file names it."""
    with TemporaryDirectory() as folder:
        for name in ("package.json", "package-lock.json", ".npmrc"):
            shutil.copy(HERE / name, folder)
        install = ("npm", "ci", "--silent", "--no-audit", "--no-fund")
        subprocess.run(install, cwd=folder, check=True)  # noqa: S603 - ours
        return (Path(folder) / "node_modules/axe-core/axe.min.js").read_text()


async def _look(
    browser: Browser, url: str, paths: stories.Paths, scheme: Any, *, script: str | None
) -> Sequence[str]:
    """Open each page at each width; return what is wrong. Without a ``script`` none runs."""
    context = await browser.new_context(color_scheme=scheme, java_script_enabled=script is not None)
    page = await context.new_page()
    seen: list[str] = []
    page.on("request", lambda request: seen.extend(_foreign(request, url)))
    page.on("response", lambda response: seen.extend(_refused(response)))
    page.on("pageerror", lambda error: seen.append(f"raises {error}"))
    page.on("console", lambda said: seen.extend([said.text] if said.type == "error" else ()))
    faults: list[str] = []
    for (name, path), width in product(paths.items(), WIDTHS):
        await page.set_viewport_size({"width": width, "height": _HEIGHT})
        await page.goto(f"{url}{path}", wait_until="load")
        seen += await _layout(page) + (await _accessibility(page, script) if script else [])
        where = f"{name} at {width} px, {scheme}{'' if script else ', without JavaScript'}"
        faults += [f"{where}: {fault}" for fault in seen]
        seen.clear()
    await context.close()
    return faults


def _foreign(request: Request, url: str) -> list[str]:
    return [] if request.url.startswith((url, "data:")) else [f"asks {request.url}"]


def _refused(response: Response) -> list[str]:
    is_refused = response.status >= HTTPStatus.BAD_REQUEST
    return [f"{response.url} returned {response.status}"] if is_refused else []


async def _layout(page: Page) -> list[str]:
    """Return what is wrong with a page as it is laid out; scripts of the page are not needed."""
    root = page.locator("html")
    wider = await root.evaluate("root => root.scrollWidth - root.clientWidth")
    headings = await page.locator("h1").count()
    return [
        *([f"is {wider} px wider than its window"] if wider > 0 else []),
        *([f"has {headings} headings of the first level"] if headings != 1 else []),
    ]


async def _accessibility(page: Page, axe: str) -> list[str]:
    """Return what axe finds."""
    await page.evaluate(axe)
    result = await page.evaluate(f"axe.run(document, {_AXE_RULES})")
    return [
        f"axe: {violation['id']} ({violation['impact']}): "
        f"{violation['nodes'][0]['target'][0]} and {len(violation['nodes']) - 1} more"
        for violation in result["violations"]
    ]


@asynccontextmanager
async def _console() -> AsyncIterator[tuple[str, stories.Paths, stories.Call]]:
    """Run a server with something to see; gives its origin, the paths of its pages and its API."""
    api, ops, receiver = free_ports(3)
    variables = {"API_SERVER_PORT": str(api), "OPS_SERVER_PORT": str(ops), "TZ": "UTC"}
    variables["WEBHOOKS_RETRY_INTERVAL"] = "1s"
    with TemporaryDirectory() as folder:
        up = ("notification-management", "up", "--data", folder)
        async with (
            running(Path(folder), up, variables),
            responding(receiver),
            aiohttp.ClientSession() as client,
        ):
            url = f"http://127.0.0.1:{api}"
            await until_ok(client, f"http://127.0.0.1:{ops}/readyz")
            call = partial(_call, client, f"{url}/api")
            paths = await _fill(call, f"http://127.0.0.1:{receiver}", Path(folder))
            yield url, paths, call


async def _call(
    client: aiohttp.ClientSession, api: str, method: str, path: str, body: object = None
) -> Any:
    async with client.request(method, f"{api}{path}", json=body) as response:
        response.raise_for_status()
        return await response.json()


async def _fill(call: stories.Call, receiver: str, folder: Path) -> stories.Paths:
    """Create webhooks, publish events, and wait until some have arrived and some have failed."""
    environment_id = uuid.uuid4()
    environment = f"/environments/{environment_id}"
    types = await call("GET", "/webhooks/events")
    names = [known["name"] for known in types]
    created: dict[int, Any] = {}
    for name, status, events in (
        ("Acme orders", 200, names),
        ("Billing sync", 500, names[:3]),
        ("Search index", 200, names[-1:]),
    ):
        draft = {"name": name, "url": f"{receiver}/{status}", "events": events}
        created.setdefault(status, await call("POST", f"{environment}/webhooks", draft))
    for number in range(_EVENTS):
        known = types[number % (len(types) - 1)]
        event = {"event": known["name"], "data": known["example"]}
        await call("POST", f"{environment}/events", [event])
    works, fails = created[200]["webhook_id"], created[500]["webhook_id"]
    async with asyncio.timeout(START_SECONDS):
        while len(await call("GET", f"/webhooks/{fails}/logs")) < len(names):  # noqa: ASYNC110 - it is asked of a server
            await asyncio.sleep(0.1)
    for webhook_id, failing in ((works, 0.04), (fails, 0.5)):
        add_day(folder, environment_id, UUID(webhook_id), failing)
    of_json, of_bytes, to_replay = add_letters(folder, environment_id)
    deliveries = await call("GET", f"/webhooks/{fails}/deliveries?limit=100")
    delivery = max(deliveries, key=lambda each: each["attempt"])
    events = await call("GET", f"{environment}/events")
    console = f"/console/environments/{environment_id}"
    empty = f"/console/environments/{uuid.uuid4()}"
    webhook = f"{console}/webhooks/{fails}"
    return {
        "environments": "/console/",
        "overview": console,
        "overview-empty": empty,
        "webhooks": f"{console}/webhooks",
        "webhooks-empty": f"{empty}/webhooks",
        "webhook": webhook,
        "webhook-works": f"{console}/webhooks/{works}",
        "webhook-new": f"{console}/webhooks/new",
        "webhook-edit": f"{webhook}/edit",
        "webhook-replays": f"{webhook}/replays",
        "webhook-verify": f"{webhook}/verification",
        "events": f"{console}/events",
        "events-empty": f"{empty}/events",
        "event": f"{console}/events/{events[0]['event_id']}",
        "delivery": f"{console}/deliveries/{delivery['delivery_id']}",
        "publish": f"{console}/publish",
        "keys": f"{console}/keys",
        "api-keys": "/console/api-keys",
        "dead-letters": "/console/dead-letters",
        "dead-letter": f"/console/dead-letters/{of_json}",
        "dead-letter-bytes": f"/console/dead-letters/{of_bytes}",
        "dead-letter-event": f"/console/dead-letters/{to_replay}",
        "installation-audit": "/console/audit",
        "audit": f"{console}/audit",
        "erasure": f"{console}/erasure",
    }


if __name__ == "__main__":
    sys.exit(bool(asyncio.run(main())))
