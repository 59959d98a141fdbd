"""The reference page, in a real browser and without one."""

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from notification_entrypoints.api.app import api_app
from notification_entrypoints.api.openapi import reference_page
from tests.conftest import require
from tests.entrypoints.api_services import backstage, in_memory
from tests.entrypoints.checked_api import operations
from tests.support.browser import CHROMIUM, HOW_TO_GET_IT, opened_browser
from tests.support.samples import EVENT_TYPES

Client = TestClient[web.Request, web.Application]

SHOWN = "document.querySelectorAll('.opblock').length"
WIDTHS = [1280, 420]


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Client]:
    """Give a client of an API over a storage in memory."""
    async with (
        backstage(in_memory(tmp_path)) as stage,
        TestClient(TestServer(api_app(stage.application))) as client,
    ):
        yield client


@pytest.fixture
def swagger_ui() -> None:
    """Require the files that the page is made of."""
    there = (Path(reference_page.__file__).parent / "swagger_ui" / "swagger-ui.css").is_file()
    require(there, "the reference page's files are missing; pip install . brings them")


@pytest.mark.usefixtures("swagger_ui")
@pytest.mark.parametrize("width", WIDTHS)
async def test_shows_every_operation_and_event_type_and_requests_nothing_else(
    api: Client, tmp_path: Path, width: int
) -> None:
    require(CHROMIUM, HOW_TO_GET_IT)
    async with opened_browser(tmp_path / "browser") as page:
        await page.open(str(api.make_url("/api/docs")), width)
        await page.until(f"{SHOWN} > 0")
        assert await page.evaluate(SHOWN) == len(operations()) + len(EVENT_TYPES)
        for method, path in operations().values():
            shown = "[...document.querySelectorAll('.opblock-summary')].map(e => e.innerText)"
            assert await page.evaluate(
                f"{shown}.some(t => t.replace(/[\\s\\u200b]/g, '').startsWith('{method}{path}'))"
            ), f"{method} {path}"
        assert await page.evaluate("document.documentElement.scrollWidth") <= width
        (tmp_path / f"{width}.png").write_bytes(await page.screenshot())
    here = str(api.make_url("/api/"))
    assert page.requested
    assert [url for url in page.requested if not url.startswith((here, "data:"))] == []
    assert page.complaints == []


@pytest.mark.usefixtures("swagger_ui")
async def test_an_operation_can_be_tried_from_the_page(api: Client, tmp_path: Path) -> None:
    require(CHROMIUM, HOW_TO_GET_IT)
    async with opened_browser(tmp_path / "browser") as page:
        await page.open(str(api.make_url("/api/docs#/Events/listEventTypes")), WIDTHS[0])
        for button in (".try-out__btn", ".execute"):
            await page.until(f"document.querySelector('{button}') !== null")
            await page.evaluate(f"document.querySelector('{button}').click()")
        await page.until("document.querySelector('.live-responses-table') !== null")
        response = await page.evaluate("document.querySelector('.live-responses-table').innerText")
    assert "pipeline-created" in response
    assert page.complaints == []


@pytest.mark.usefixtures("swagger_ui")
async def test_an_operation_shows_what_it_takes(api: Client, tmp_path: Path) -> None:
    require(CHROMIUM, HOW_TO_GET_IT)
    async with opened_browser(tmp_path / "browser") as page:
        await page.open(str(api.make_url("/api/docs#/Logs/listWebhookLogs")), WIDTHS[0])
        await page.until("document.querySelector('.try-out__btn') !== null")
        names = "[...document.querySelectorAll('.parameter__name')].map(e => e.firstChild.data)"
        await page.until(f"{names}.includes('webhook_id')")
        assert "limit" in await page.evaluate(names)
        shown = await page.evaluate("document.querySelector('.opblock-description').innerText")
    assert "Needs the scope read." in shown


@pytest.mark.usefixtures("swagger_ui")
async def test_the_page_allows_nothing_inline_and_nothing_from_elsewhere(api: Client) -> None:
    for path in ("/api/docs", "/api/docs/docs.js", "/api/docs/swagger-ui-bundle.js"):
        async with api.get(path) as response:
            assert response.status == 200
            policy = response.headers["Content-Security-Policy"]
            assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
            assert "unsafe" not in policy
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert response.headers["X-Request-Id"]


async def test_a_checkout_without_the_page_says_how_to_get_it(
    api: Client, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(reference_page, "_PARTS", {"swagger-ui.css": tmp_path / "missing"})
    async with api.get("/api/docs") as response:
        assert response.status == 404
        assert "pip install ." in await response.text()


async def test_only_the_page_s_own_files_are_served(api: Client) -> None:
    for name in ("docs.html", "..%2Fopenapi.yaml", "LICENSE"):
        async with api.get(f"/api/docs/{name}", allow_redirects=False) as response:
            assert response.status == 404
            assert (await response.json())["error_code"]


async def test_is_read_again_only_when_it_changed(api: Client) -> None:
    async with api.get("/api/docs/docs.js") as response:
        known = {aiohttp.hdrs.IF_NONE_MATCH: response.headers[aiohttp.hdrs.ETAG]}
    async with api.get("/api/docs/docs.js", headers=known) as response:
        assert response.status == 304
