"""A real Chromium without a window, spoken to by its DevTools protocol."""

import asyncio
import base64
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from attrs import Factory, define

from tests.support.waiting import PATIENCE

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
HOW_TO_GET_IT = "no Chromium here; on Debian: apt-get install chromium"

_OPTIONS = (
    "--headless",
    "--no-sandbox",  # root has none
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--remote-debugging-port=0",
)


@define
class Page:
    """A tab: what it asked for, what it complained of, and what it shows."""

    _socket: aiohttp.ClientWebSocketResponse
    requested: list[str] = Factory(list)
    complaints: list[str] = Factory(list)
    _sent: int = 0

    async def call(self, method: str, **parameters: object) -> Mapping[str, Any]:
        """Call a method of the protocol, and take note of what happens meanwhile."""
        self._sent += 1
        await self._socket.send_json({"id": self._sent, "method": method, "params": parameters})
        while True:
            message: Mapping[str, Any] = await self._socket.receive_json(timeout=PATIENCE)
            if message.get("id") == self._sent:
                assert "error" not in message, message
                result: Mapping[str, Any] = message["result"]
                return result
            self._note(message.get("method"), message.get("params", {}))

    async def open(self, url: str, width: int) -> None:
        """Show a page in a window of this width."""
        for domain in ("Network", "Log", "Runtime", "Page"):
            await self.call(f"{domain}.enable")
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=900,
            deviceScaleFactor=1,
            mobile=False,
        )
        await self.call("Page.navigate", url=url)

    async def evaluate(self, expression: str) -> Any:
        """Return the value of an expression in the page."""
        found = await self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        return found["result"].get("value")

    async def until(self, expression: str) -> None:
        """Wait until an expression in the page is true."""
        async with asyncio.timeout(PATIENCE):
            while not await self.evaluate(expression):  # noqa: ASYNC110 - the page is outside
                await asyncio.sleep(0.05)

    async def screenshot(self) -> bytes:
        """Return a picture of the whole page, as PNG."""
        shot = await self.call("Page.captureScreenshot", captureBeyondViewport=True)
        return base64.b64decode(shot["data"])

    def _note(self, method: str | None, happened: Mapping[str, Any]) -> None:
        match method:
            case "Network.requestWillBeSent":
                self.requested.append(happened["request"]["url"])
            case "Log.entryAdded" if happened["entry"]["level"] in {"warning", "error"}:
                self.complaints.append(happened["entry"]["text"])
            case "Runtime.exceptionThrown":
                self.complaints.append(str(happened["exceptionDetails"]))


@asynccontextmanager
async def opened_browser(folder: Path) -> AsyncIterator[Page]:
    """Run a Chromium that keeps its things in ``folder``, and give its tab."""
    assert CHROMIUM
    process = await asyncio.create_subprocess_exec(
        *(CHROMIUM, *_OPTIONS, f"--user-data-dir={folder}", "about:blank"),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with aiohttp.ClientSession() as session:
            address = await _tab(session, folder / "DevToolsActivePort")
            async with session.ws_connect(address, max_msg_size=0) as socket:
                yield Page(socket)
    finally:
        process.terminate()
        await process.wait()


async def _tab(session: aiohttp.ClientSession, port_file: Path) -> str:
    """Return where the first tab's DevTools listen, once the browser has written its port."""
    async with asyncio.timeout(PATIENCE):
        while not (port := _port_in(port_file)):  # noqa: ASYNC110 - the browser is outside
            await asyncio.sleep(0.05)
        while True:
            async with session.get(f"http://127.0.0.1:{port}/json") as response:
                tabs = [each for each in await response.json() if each["type"] == "page"]
            if tabs:
                return str(tabs[0]["webSocketDebuggerUrl"])
            await asyncio.sleep(0.05)


def _port_in(port_file: Path) -> str:
    return port_file.read_text().partition("\n")[0] if port_file.exists() else ""
