"""The console as a whole: who may see it, what its responses say, how errors look."""

from collections.abc import Mapping
from pathlib import Path
from uuid import uuid4

import pytest

from notification_core.errors import StorageUnavailable
from notification_entrypoints.config.settings import load_settings
from notification_entrypoints.console import static_files
from tests.conftest import require
from tests.entrypoints.api_services import backstage, in_memory, log_success
from tests.entrypoints.console.conftest import ENVIRONMENT, HOSTILE, Console, console_of
from tests.entrypoints.console.scenes import publish, subscribed

SECRET = {"DB_ENCRYPTION_SECRET": "0123456789abcdef0123456789abcdef"}


async def test_a_page_is_whole_and_allows_nothing_inline_and_nobody_to_frame_it(
    console: Console,
) -> None:
    page = await console.get(console.of_environment())
    assert page.status == 200
    policy = page.headers["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert page.headers["Referrer-Policy"] == "no-referrer"
    assert page.headers["Cache-Control"] == "no-store"
    assert page.headers["X-Request-Id"]


async def test_files_are_cached_for_ever_under_names_that_say_what_is_in_them(
    console: Console,
) -> None:
    page = await console.get(console.of_environment())
    for name in ("console.css", "console.js", "icon.svg"):
        url = f"/console/static/{static_files.static_files()[name].name}"
        assert url in page.text
        served = await console.get(url)
        assert (served.status, "immutable" in served.headers["Cache-Control"]) == (200, True)
    assert (await console.get("/static/console.css")).status == 404


async def test_htmx_comes_from_here_and_may_neither_evaluate_nor_style(console: Console) -> None:
    require(
        "htmx.min.js" in static_files.static_files(), "htmx is missing: pip install . brings it"
    )
    page = await console.get(console.of_environment())
    assert "/console/static/htmx.min." in page.text
    assert '"allowEval":false' in page.text
    assert '"includeIndicatorStyles":false' in page.text


@pytest.mark.parametrize("path", ["/nothing", "/environments/nonsense", "/environments/nonsense/x"])
async def test_what_is_not_there_is_a_page_that_says_so(console: Console, path: str) -> None:
    page = await console.get(path)
    assert page.status == 404
    assert "There is no such page" in page.words
    assert page.headers["X-Request-Id"] in page.words


async def test_a_wrong_method_is_a_page_too(console: Console) -> None:
    assert (await console.post("/")).status == 405


async def test_a_failure_of_storage_is_a_page_that_says_to_retry(tmp_path: Path) -> None:
    async with backstage(in_memory(tmp_path)) as stage:

        class Away:
            async def read(self, *_: object) -> Mapping[str, object]:
                raise StorageUnavailable("The storage is on holiday.")

        application = stage.but(storage={"statistics": Away()})
        async with console_of(stage, application) as console:
            page = await console.get(console.of_environment())
    assert page.status == 503
    assert page.headers["Retry-After"] == "1"
    assert "storage is unavailable" in page.words
    assert "holiday" not in page.text


async def test_a_page_of_another_name_for_this_host_is_refused(console: Console) -> None:
    page = await console.get("/", headers={"Host": "evil.example:80"})
    assert page.status == 421


async def test_an_environment_is_opened_by_its_id(console: Console) -> None:
    wanted = uuid4()
    page = await console.get("/", params={"id": f" {wanted} "})
    assert page.url == f"/console/environments/{wanted}"


async def test_the_environments_that_have_webhooks_are_listed(console: Console) -> None:
    assert "No environment has a webhook yet." in (await console.get("/")).words
    await subscribed(console)
    page = await console.get("/")
    assert f"{ENVIRONMENT} 1" in page.words
    assert f"/console{console.of_environment()}" in page.links
    page = await console.get("/", params={"after": str(ENVIRONMENT)})
    assert "No environment has a webhook yet." in page.words


async def test_operators_see_what_waits_and_the_webhooks_that_need_a_look(console: Console) -> None:
    page = await console.get("/")
    assert "All deliveries are on time. No webhook has failed within an hour." in page.words
    await subscribed(console, name=HOSTILE)
    for _ in range(2):
        await publish(console)
    await log_success(console.stage)
    async with console_of(console.stage, console.stage.application) as fresh:
        page = await fresh.get("/")
    assert "Pending deliveries 1 to 1 webhook" in page.words
    assert f"{HOSTILE} {str(ENVIRONMENT)[:8]}… 1 0 failed" in page.words
    assert "<script>alert" not in page.text


async def test_the_short_address_leads_to_the_first_page(console: Console) -> None:
    page = await console.get("/console")
    assert (page.status, page.url) == (200, "/console/")


def test_it_can_be_turned_off() -> None:
    assert load_settings(SECRET).console.enabled
    assert not load_settings(SECRET | {"CONSOLE_ENABLED": "false"}).console.enabled
