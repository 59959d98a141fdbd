"""An event id that is accepted works wherever it is used: in paths, pages and commands."""

import asyncio
import json
from collections.abc import Coroutine, Iterator
from contextlib import AsyncExitStack, redirect_stdout
from io import BytesIO, TextIOWrapper
from pathlib import Path
from threading import Thread
from typing import Any, TypeVar
from urllib.parse import quote

import aiohttp
import pytest
from attrs import frozen
from hypothesis import example, given, settings
from hypothesis import strategies as st

from notification_entrypoints.cli import main
from notification_entrypoints.commands.exit_codes import Exit
from tests.entrypoints.api_examples import DRAFT, ENVIRONMENT, EVENT, EVENTS
from tests.entrypoints.api_services import MAX_WEBHOOKS, backstage, in_memory
from tests.entrypoints.checked_api import served

ODD = [
    *("/", "//", "a/b", "?", "a?b=c", "#", "%", "%2F", "%252f", "%00", "%FF", "&", "+", ";", ","),
    *("-", "--", "-x", "-h", "--json", "--help", "--limit=5", "-json", "...", ".a", "a/..", "../"),
    *(" ", " a ", "\t", "\n", "\r\n", "\x7f", "\x01", "a\x1b[2J", "\\", "\"'", "<>", "{", "{a}"),
    *("é", "ﬁ", "日本", "😀", "\u202e", "a\u0301", "\ufeff", "\u2028", "x" * 256, "😀" * 256),
]
IDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)
LEGAL = (IDS | st.sampled_from(ODD)).filter(lambda each: each not in {".", ".."})

_T = TypeVar("_T")


@frozen
class Running:
    """An API on another thread, so that the command line has this one to itself."""

    url: str
    loop: asyncio.AbstractEventLoop

    def call(self, method: str, path: str, body: object = None) -> tuple[int, Any, Any]:
        """Call the API as any client does; return the status, the JSON and the links."""
        return self.do(self._call(method, path, body))

    def do(self, work: Coroutine[Any, Any, _T]) -> _T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)

    async def _call(self, method: str, path: str, body: object) -> tuple[int, Any, Any]:
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, self.url + path, json=body) as response,
        ):
            return response.status, await response.json(), response.links


@pytest.fixture(scope="module")
def api() -> Iterator[Running]:
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever)
    thread.start()
    try:
        opened = AsyncExitStack()
        stage = Running("", loop).do(opened.enter_async_context(backstage(in_memory(Path()))))
        url = Running("", loop).do(opened.enter_async_context(served(stage.application)))
        running = Running(f"{url}/api", loop)
        for _ in range(MAX_WEBHOOKS):
            assert running.call("POST", f"/environments/{ENVIRONMENT}/webhooks", DRAFT)[0] == 201
        yield running
        running.do(opened.aclose())
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def shown(api: Running, *arguments: str) -> Any:
    """Run `events show` and return what it prints."""
    with redirect_stdout(TextIOWrapper(BytesIO(), "utf-8")) as printed:
        where = ["--environment", ENVIRONMENT, "--api", api.url, "--json"]
        assert main(["events", "show", *where, *arguments]) == 0
        printed.seek(0)
        return json.loads(printed.read())


@settings(deadline=None, max_examples=50)
@given(event_id=LEGAL)
@example(event_id="😀" * 256)
def test_an_event_that_was_published_can_be_read_and_shown(api: Running, event_id: str) -> None:
    publish_read_and_show(api, event_id)


@pytest.mark.parametrize("event_id", ODD)
def test_odd_ids_are_no_exception(api: Running, event_id: str) -> None:
    publish_read_and_show(api, event_id)


def publish_read_and_show(api: Running, event_id: str) -> None:
    published = api.call("POST", EVENTS, EVENT | {"event_id": event_id})
    assert published[:2] == (202, {"event_id": event_id, "duplicate": published[1]["duplicate"]})
    path = f"{EVENTS}/{quote(event_id, safe='')}"
    status, event, links = api.call("GET", f"{path}?limit=1")
    assert (status, event["event_id"], len(event["deliveries"])) == (200, event_id, 1)
    status, page, _ = api.do(_follow(str(links["next"]["url"])))
    assert (status, page["event_id"], len(page["deliveries"])) == (200, event_id, 1)
    event = shown(api, "--", event_id)
    assert (event["event_id"], len(event["deliveries"])) == (event_id, MAX_WEBHOOKS)


async def _follow(url: str) -> tuple[int, Any, Any]:
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return response.status, await response.json(), response.links


@pytest.mark.parametrize("event_id", ["-", "-x", "-h", "-hx", "-json", "--x", "--json"])
def test_an_id_that_looks_like_an_option_is_shown_after_two_hyphens(
    api: Running, event_id: str
) -> None:
    assert api.call("POST", EVENTS, EVENT | {"event_id": event_id})[0] == 202
    assert shown(api, "--", event_id)["event_id"] == event_id


def test_pages_of_events_go_on_below_any_id(api: Running) -> None:
    batch = [EVENT | {"event_id": f"page-{each}"} for each in ODD if len(each) < 200]
    assert api.call("POST", EVENTS, batch)[0] == 202
    found: list[str] = []
    _, page, links = api.call("GET", f"{EVENTS}?limit=1")
    while len(found) < len(batch):
        found += [each["event_id"] for each in page]
        _, page, links = api.do(_follow(str(links["next"]["url"])))
    assert {each["event_id"] for each in batch} <= {*found, *(each["event_id"] for each in page)}


@pytest.mark.parametrize("event_id", [".", ".."])
def test_an_id_that_no_url_can_name_is_refused_when_published(api: Running, event_id: str) -> None:
    status, refused, _ = api.call("POST", EVENTS, EVENT | {"event_id": event_id})
    assert status == 400
    (detail,) = refused["details"]
    assert detail["field"] == "event_id"
    assert "'.' and '..'" in detail["message"]


@pytest.mark.parametrize("event_id", ["", "a\0b", "x" * 257, "\udcff", ".", ".."])
def test_an_id_that_no_event_can_have_is_told_before_anything_is_asked(
    event_id: str, capsys: pytest.CaptureFixture[str]
) -> None:
    nowhere = ["--api", "http://127.0.0.1:9/api"]
    code = main(["events", "show", "--environment", ENVIRONMENT, *nowhere, "--", event_id])
    assert code == Exit.USAGE
    assert "An event id is" in capsys.readouterr().err
