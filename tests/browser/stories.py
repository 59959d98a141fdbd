"""What people do with the console, and what they then see: without a reload where it is live."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from playwright.async_api import Browser, Error, Page, expect

Call = Callable[..., Awaitable[Any]]
"""Calls the API: a method, a path below ``/api`` and a body."""

_STREAM_SECONDS = 30_000
"""How many milliseconds a live part may take to show what has happened."""


async def run(browser: Browser, url: str, console: str, call: Call) -> Sequence[str]:
    """Run every story on the pages of an environment; return what went wrong."""
    faults = []
    for story in (live_overview, live_webhook, lost_connection):
        context = await browser.new_context()
        page = await context.new_page()
        try:
            await story(page, url, console, call)
        except (AssertionError, Error) as error:
            faults.append(f"{story.__name__}: {error}")
        await context.close()
        print(f"story {story.__name__}: {'failed' if faults else 'passed'}")
    return faults


async def live_overview(page: Page, url: str, console: str, call: Call) -> None:
    """See a delivery that is made while the overview is open; what is unfolded stays so."""
    await page.goto(f"{url}{console}")
    table = page.locator("details", has_text="Show as a table").first
    await table.locator("summary").click()
    figure = page.locator("dl.figures .figure dd").first
    before = await figure.inner_text()
    await page.evaluate("window.isSame = true")
    await _publish(call, console)
    await expect(figure).not_to_have_text(before, timeout=_STREAM_SECONDS)
    await expect(table).to_have_attribute("open", "")
    assert await page.evaluate("window.isSame"), "The page was loaded again."


async def live_webhook(page: Page, url: str, console: str, call: Call) -> None:
    """See a delivery in the list of an open webhook; what is typed into its filter stays."""
    (webhook, *_) = await call("GET", f"{console.removeprefix('/console')}/webhooks")
    await page.goto(f"{url}{console}/webhooks/{webhook['webhook_id']}")
    status = page.get_by_label("Status code")
    await status.fill("20")
    row = page.locator("#rows a.row").first
    before = await row.get_attribute("href")
    await _publish(call, console)
    await expect(row).not_to_have_attribute("href", before or "", timeout=_STREAM_SECONDS)
    await expect(status).to_have_value("20")


async def lost_connection(page: Page, url: str, console: str, call: Call) -> None:
    """Be told that the server is lost, and no more once it is there again."""
    del call
    await page.goto(f"{url}{console}")
    status = page.get_by_role("status").filter(has_text="connection to the server is lost")
    await page.context.set_offline(True)
    await page.evaluate("closeStream(), keepLive()")
    await expect(status).to_be_visible(timeout=_STREAM_SECONDS)
    await page.context.set_offline(False)
    await expect(status).to_be_hidden(timeout=_STREAM_SECONDS)


async def _publish(call: Call, console: str) -> None:
    """Publish an example of the first type, which the first webhook of the environment gets."""
    (known, *_) = await call("GET", "/webhooks/events")
    event = {"event": known["name"], "data": known["example"]}
    await call("POST", f"{console.removeprefix('/console')}/events", event)
