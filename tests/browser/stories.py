"""What people do with the console, and what they then see: without a reload where it is live."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from playwright.async_api import Browser, Error, Page, expect

Call = Callable[..., Awaitable[Any]]
"""Calls the API: a method, a path below ``/api`` and a body."""

Paths = Mapping[str, str]
"""The paths of pages by a name."""

_STREAM_SECONDS = 30_000
"""How many milliseconds a live part may take to show what has happened."""


async def run(browser: Browser, url: str, paths: Paths, call: Call) -> Sequence[str]:
    """Run every story on the pages of an environment; return what went wrong."""
    faults = []
    for story in (live_overview, live_webhook, lost_connection, replayed_letters):
        is_live = story is not replayed_letters
        context = await browser.new_context(java_script_enabled=is_live)
        page = await context.new_page()
        try:
            await story(page, url, paths, call)
        except (AssertionError, Error) as error:
            faults.append(f"{story.__name__}: {error}")
        await context.close()
        print(f"story {story.__name__}: {'failed' if faults else 'passed'}")
    return faults


async def live_overview(page: Page, url: str, paths: Paths, call: Call) -> None:
    """See a delivery that is made while the overview is open; what is unfolded stays so."""
    await page.goto(f"{url}{paths['overview']}")
    table = page.locator("details", has_text="Show as a table").first
    await table.locator("summary").click()
    figure = page.locator("dl.figures .figure dd").first
    before = await figure.inner_text()
    await page.evaluate("window.isSame = true")
    await _publish(call, paths["overview"])
    await expect(figure).not_to_have_text(before, timeout=_STREAM_SECONDS)
    await expect(table).to_have_attribute("open", "")
    assert await page.evaluate("window.isSame"), "The page was loaded again."


async def live_webhook(page: Page, url: str, paths: Paths, call: Call) -> None:
    """See a delivery in the list of an open webhook; what is typed into its filter stays."""
    console = paths["overview"]
    (webhook, *_) = await call("GET", f"{console.removeprefix('/console')}/webhooks")
    await page.goto(f"{url}{console}/webhooks/{webhook['webhook_id']}")
    status = page.get_by_label("Status code")
    await status.fill("20")
    row = page.locator("#rows a.row").first
    before = await row.get_attribute("href")
    await _publish(call, console)
    await expect(row).not_to_have_attribute("href", before or "", timeout=_STREAM_SECONDS)
    await expect(status).to_have_value("20")


async def lost_connection(page: Page, url: str, paths: Paths, call: Call) -> None:
    """Be told that the server is lost, and no more once it is there again."""
    del call
    await page.goto(f"{url}{paths['overview']}")
    status = page.get_by_role("status").filter(has_text="connection to the server is lost")
    await page.context.set_offline(True)
    await page.evaluate("closeStream(), keepLive()")
    await expect(status).to_be_visible(timeout=_STREAM_SECONDS)
    await page.context.set_offline(False)
    await expect(status).to_be_hidden(timeout=_STREAM_SECONDS)


async def replayed_letters(page: Page, url: str, paths: Paths, call: Call) -> None:
    """Replay dead letters, without JavaScript: see what is still wrong, and the event of another.

    What an operator sees of the effect is a link to the event, which has been delivered.
    """
    await page.goto(f"{url}{paths['dead-letters']}")
    await page.get_by_role("link", name="The event is refused").first.click()
    await page.get_by_role("button", name="Replay this message").click()
    refused = page.get_by_role("alert")
    await expect(refused).to_contain_text("Nothing was published: The event is refused")
    await page.goto(f"{url}{paths['dead-letter-event']}")
    await page.get_by_role("button", name="Replay this message").click()
    told = page.get_by_role("status").filter(has_text="an event now, and is delivered")
    await told.get_by_role("link").click()
    await expect(page.get_by_role("heading", name="job-completed")).to_be_visible()
    left = [letter["letter_id"] for letter in await call("GET", "/dead-letters")]
    assert paths["dead-letter-event"].rpartition("/")[2] not in left


async def _publish(call: Call, console: str) -> None:
    """Publish an example of the first type, which the first webhook of the environment gets."""
    (known, *_) = await call("GET", "/webhooks/events")
    event = {"event": known["name"], "data": known["example"]}
    await call("POST", f"{console.removeprefix('/console')}/events", event)
