"""A console over a real server and a SQLite file, empty or with something of everything."""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from uuid import UUID

import aiohttp
import pytest
from aiohttp import web
from attrs import Factory, define, evolve, frozen
from yarl import URL

from notification_adapters.clock import SystemClock
from notification_entrypoints.api.app import api_app, api_callers
from notification_entrypoints.bootstrap.application import Application
from notification_entrypoints.console.app import add_console
from notification_entrypoints.console.callers import CSRF_FIELD, csrf_token_of
from notification_entrypoints.console.cookies import PORTAL
from notification_entrypoints.process.serve_api import ApiRunner
from notification_entrypoints.serving.shutdown import ShutdownDeadline
from tests.entrypoints.api_services import Backstage, backstage, on_sqlite

ENVIRONMENT = UUID("0b6f2e0c-5d0c-4d7e-8a57-2f7a3f0f6f10")
HOSTILE = "<script>alert('1')</script> & \"quoted\" {{ 7*7 }}"
"""What a template that does not escape would run, or show otherwise."""


@frozen
class Shown:
    """A response, and what a browser would make of it."""

    status: int
    headers: Mapping[str, str]
    text: str
    url: str

    @property
    def words(self) -> str:
        """The text of the page without its tags."""
        return _Reader.of(self.text).words

    @property
    def links(self) -> list[str]:
        """Where the links and forms of the page lead to."""
        return _Reader.of(self.text).links

    def field(self, name: str) -> str:
        """Return the value of a hidden or a text field."""
        return _Reader.of(self.text).fields[name]


@define
class _Reader(HTMLParser):
    """Reads a page; fails for what a strict policy on its content would not run."""

    words: str = ""
    links: list[str] = Factory(list)
    fields: dict[str, str] = Factory(dict)
    _tag: str = ""

    def __attrs_pre_init__(self) -> None:
        super().__init__(convert_charrefs=True)

    @classmethod
    def of(cls, text: str) -> "_Reader":
        reader = cls()
        reader.feed(text)
        reader.words = re.sub(r"\s+", " ", reader.words)
        return reader

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self._tag = tag
        if tag in {"dd", "dt", "li", "p", "td", "th", "span"}:
            self.words += " "
        assert "style" not in given, f"inline style in {tag}"
        assert not [name for name in given if name.startswith("on")], f"inline script in {tag}"
        assert tag != "style"
        if tag == "script":
            assert given["src"].startswith("/console/static/")
        if tag == "a":
            self.links.append(given["href"])
        if "name" in given:
            self.fields[given["name"]] = given.get("value", "")

    def handle_data(self, data: str) -> None:
        assert self._tag != "script" or not data.strip(), "inline script"
        self.words += data


@frozen
class Console:
    """What looks at the pages of a console."""

    session: aiohttp.ClientSession
    url: str
    stage: Backstage
    deadline: ShutdownDeadline

    async def get(self, path: str, **options: Any) -> Shown:
        """Look at a page below ``/console``."""
        return await self._ask("GET", path, **options)

    async def post(self, path: str, **fields: str) -> Shown:
        """Send a form as a page of ours does, and follow where its response leads to."""
        sent = {CSRF_FIELD: self.csrf_token, **fields}
        return await self.send(path, sent)

    async def send(self, path: str, fields: Mapping[str, str], **headers: str) -> Shown:
        """Send what a form may not be; a header ``X_Y`` is sent as ``X-Y``."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self._ask("POST", path, data=fields, headers={"Origin": self.url, **named})

    @property
    def csrf_token(self) -> str:
        """What the forms of a page have, in the session that there is."""
        cookies = self.session.cookie_jar.filter_cookies(URL(self.url))
        session = cookies.get(PORTAL) or cookies.get("notification-console")
        return csrf_token_of(self.stage.application, session.value if session else None)

    async def _ask(self, method: str, path: str, **options: Any) -> Shown:
        url = path if path.startswith("/console") else f"/console{path}"
        async with self.session.request(method, f"{self.url}{url}", **options) as response:
            text = await response.text()
            assert "script-src 'self'" in response.headers["Content-Security-Policy"]
            shown = Shown(response.status, response.headers, text, response.url.path_qs)
            if response.content_type == "text/html":
                _Reader.of(text)
            return shown

    def of_environment(self, path: str = "") -> str:
        """Return the path of a page of the environment."""
        return f"/environments/{ENVIRONMENT}{path}"


@asynccontextmanager
async def console_of(
    stage: Backstage, application: Application, **options: Any
) -> AsyncIterator[Console]:
    """Serve the API of an application with its console; give what looks at it."""
    deadline = ShutdownDeadline(SystemClock(), timedelta(seconds=1))
    application = evolve(application, deadline=deadline)
    app = api_app(application, api_callers(application))
    add_console(app, application, **options)
    runner = ApiRunner(app, application)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        # As browsers do on loopback: it keeps cookies there, and those that are for TLS alone.
        jar = aiohttp.CookieJar(unsafe=True, treat_as_secure_origin=URL(url))
        async with aiohttp.ClientSession(cookie_jar=jar) as session:
            yield Console(session, url, stage, deadline)
    finally:
        await runner.cleanup()


@pytest.fixture
async def console(tmp_path: Path) -> AsyncIterator[Console]:
    """Give a console over an environment that has nothing yet."""
    async with (
        backstage(on_sqlite(tmp_path)) as stage,
        console_of(stage, stage.application) as console,
    ):
        yield console
