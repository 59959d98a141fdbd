"""Long lists: filtered, page by page, by cursors that are of one list and of no other."""

import base64
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest

from tests.entrypoints.api.test_reading import all_pages, next_path
from tests.entrypoints.api_examples import DRAFT, EVENT, EVENTS, create, publish
from tests.entrypoints.api_services import Backstage, log_gone, log_success
from tests.entrypoints.checked_api import ApiResponse, CheckedClient, called

LATER = "2099-01-01T00:00:00Z"


async def ids(api: CheckedClient, path: str, name: str) -> list[str]:
    return [one[name] for page in await all_pages(api, path) for one in page]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("outcome=succeeded", ["a", "b"]),
        ("outcome=failed", ["gone"]),
        ("outcome=interrupted", []),
        ("http_code=410", ["gone"]),
        ("http_code=204&outcome=succeeded&event=job-completed", ["a", "b"]),
        ("event=job-created", []),
        (f"since={LATER}", []),
        (f"until={LATER}&limit=1", ["gone", "a", "b"]),
        ("since=2099-01-01T00:00:00+01:00", []),
        ("until=2099-01-01T00:00:00.5+01:00&limit=1", ["gone", "a", "b"]),
    ],
)
async def test_a_log_is_filtered(
    api: CheckedClient, stage: Backstage, query: str, expected: list[str]
) -> None:
    webhook = await create(api)
    await publish(api, [EVENT | {"event_id": name} for name in ("b", "a", "gone")])
    for ending in (log_success, log_success, log_gone):
        await ending(stage)
    path = f"/webhooks/{webhook['webhook_id']}/logs?{query}"
    assert await ids(api, path, "event_id") == expected


async def test_deliveries_are_filtered_by_what_an_attempt_was_answered(
    api: CheckedClient, stage: Backstage
) -> None:
    webhook = await create(api)
    await publish(api, [EVENT | {"event_id": name} for name in ("gone", "waiting")])
    await log_gone(stage)
    path = f"/webhooks/{webhook['webhook_id']}/deliveries"
    assert await ids(api, f"{path}?http_code=410", "event_id") == ["gone"]
    assert await ids(api, f"{path}?http_code=204", "event_id") == []


async def test_the_events_of_an_environment_are_listed_newest_first(
    api: CheckedClient, stage: Backstage
) -> None:
    await create(api)
    await create(api, DRAFT | {"disabled_until": LATER})
    await publish(api, [EVENT | {"event_id": name} for name in ("ü/1", "2")])
    await publish(api, EVENT | {"event_id": "3", "event": "job-created"})
    await log_success(stage)
    pages = await all_pages(api, f"{EVENTS}?limit=1")
    assert [len(page) for page in pages] == [1, 1, 1]
    listed = {page[0]["event_id"]: page[0] for page in pages}
    assert list(listed) == ["3", "ü/1", "2"]
    none = dict.fromkeys(("pending", "succeeded", "failed", "skipped", "cancelled"), 0)
    assert listed["3"]["deliveries"] == none
    assert sum(one["deliveries"]["succeeded"] for one in listed.values()) == 1
    assert listed["2"]["deliveries"]["skipped"] == 1
    assert await ids(api, f"{EVENTS}?event=job-created", "event_id") == ["3"]
    assert await ids(api, f"{EVENTS}?since={LATER}", "event_id") == []
    assert len(await ids(api, f"{EVENTS}?until={LATER}", "event_id")) == 3


@pytest.fixture
async def log(api: CheckedClient, stage: Backstage) -> str:
    """Return the path of a log that has three entries."""
    webhook = await create(api)
    await publish(api, [EVENT] * 3)
    for _ in range(3):
        await log_success(stage)
    return f"/webhooks/{webhook['webhook_id']}/logs"


async def cursor_of(api: CheckedClient, path: str) -> str:
    """Return the cursor of the page after the first one of a list."""
    following = next_path(await api.get(path))
    return following.partition("cursor=")[2]


async def test_the_next_page_may_have_another_length(api: CheckedClient, log: str) -> None:
    cursor = await cursor_of(api, f"{log}?limit=1")
    assert len((await api.get(f"{log}?limit=2&cursor={cursor}")).json) == 2


def _another_row(cursor: str) -> str:
    """Change the place that a cursor holds, and leave its seal."""
    data = bytearray(base64.urlsafe_b64decode(cursor + "=="))
    data[-1] ^= 1
    return base64.urlsafe_b64encode(bytes(data)).rstrip(b"=").decode()


@pytest.mark.parametrize(
    "tamper",
    [
        _another_row,
        lambda cursor: cursor[:-4],
        lambda cursor: cursor + "AAAA",
        lambda cursor: cursor + "=",
        lambda cursor: cursor[:-1] + ("B" if cursor[-1] == "A" else "A"),
        lambda cursor: cursor[:10] + "\n" + cursor[10:],
        lambda _: "AAAA",
        lambda _: "ÄÖ",
    ],
    ids=["row", "cut", "longer", "padded", "last letter", "line", "made up", "no letters"],
)
async def test_a_cursor_that_was_tampered_with_is_refused(
    api: CheckedClient, log: str, tamper: Callable[[str], str]
) -> None:
    cursor = tamper(await cursor_of(api, f"{log}?limit=1"))
    refused(await api.get(f"{log}?cursor={quote(cursor)}"))


async def test_a_cursor_is_of_its_own_list_and_filters(
    api: CheckedClient, stage: Backstage, log: str
) -> None:
    cursor = await cursor_of(api, f"{log}?limit=1")
    other = (await create(api))["webhook_id"]
    filtered = await cursor_of(api, f"{log}?limit=1&outcome=succeeded")
    for path in (
        f"/webhooks/{other}/logs?cursor={cursor}",
        f"{log.removesuffix('logs')}deliveries?cursor={cursor}",
        f"{log}?outcome=succeeded&cursor={cursor}",
        f"{log}?cursor={filtered}",
        f"{log}?outcome=failed&cursor={filtered}",
        f"{EVENTS}?cursor={cursor}",
    ):
        refused(await api.get(path))
    async with called(stage.but(settings={"db.encryption_secret": "another" * 5})) as elsewhere:
        refused(await elsewhere.get(f"{log}?cursor={cursor}"))
    assert (await api.get(f"{log}?outcome=succeeded&cursor={filtered}")).status == 200


def refused(response: ApiResponse) -> None:
    assert (response.status, response.json["error_code"]) == (400, 1101)
    assert response.wrong_fields == {"cursor"}
    assert "Link header" in response.error_about("cursor")


async def test_a_head_of_a_page_has_its_link(api: CheckedClient, log: str) -> None:
    got: Any = await api.get(f"{log}?limit=1")
    async with api.session.head(f"{api.url}/api{log}?limit=1") as head:
        assert head.headers["Link"] == got.headers["Link"]
