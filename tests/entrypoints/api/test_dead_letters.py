"""Dead letters over the API: listed page by page, shown to the byte, replayed once."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from uuid import UUID

import pytest

from notification_core.model.message import DeadLetter, Message
from notification_core.ports.storage import Storage
from tests.entrypoints.api.test_reading import all_pages
from tests.entrypoints.api_examples import ENVIRONMENT, EVENTS, create
from tests.entrypoints.api_services import (
    Backstage,
    backstage,
    in_memory,
    on_postgres,
    on_sqlite,
)
from tests.entrypoints.checked_api import ApiResponse, CheckedClient, called
from tests.support.dead_letters import OPERATORS_EVENT, a_dead_letter, an_event_by_now, bury

LETTERS = "/dead-letters"
POISON = b'\xff{"oops'


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> AbstractAsyncContextManager[Storage]:
    """Each storage in turn; a server is started before the test's loop runs."""
    if request.param == "postgres":
        return on_postgres(request.getfixturevalue("postgres"))
    return in_memory(tmp_path) if request.param == "memory" else on_sqlite(tmp_path)


@pytest.fixture
async def stage(opened: AbstractAsyncContextManager[Storage]) -> AsyncIterator[Backstage]:
    """Give what stands behind an API."""
    async with backstage(opened) as stage:
        yield stage


async def replay(api: CheckedClient, letter_id: object, key: str | None = None) -> ApiResponse:
    headers = {} if key is None else {"Idempotency-Key": key}
    return await api.call("POST", f"{LETTERS}/{letter_id}/replay", headers=headers)


async def bury_poison(stage: Backstage) -> UUID:
    (letter_id,) = await bury(stage.storage, a_dead_letter(POISON))
    return letter_id


async def bury_event(stage: Backstage) -> UUID:
    letter = a_dead_letter(an_event_by_now(ENVIRONMENT))
    return (await bury(stage.storage, letter))[0]


async def test_without_any_the_list_is_empty(api: CheckedClient) -> None:
    assert (await api.get(LETTERS)).json == []


async def test_they_are_listed_page_by_page_the_newest_first(
    api: CheckedClient, stage: Backstage
) -> None:
    for offset in range(5):
        await bury(stage.storage, a_dead_letter(b"x" * offset, offset, f"reason {offset}"))
    pages = await all_pages(api, f"{LETTERS}?limit=2")
    assert [len(page) for page in pages] == [2, 2, 1]
    listed = [letter for page in pages for letter in page]
    assert [letter["offset"] for letter in listed] == [4, 3, 2, 1, 0]
    assert [letter["value_size"] for letter in listed] == [4, 3, 2, 1, 0]
    first = listed[0]
    assert (first["topic"], first["partition"], first["key_size"]) == ("job-events", 3, 5)
    assert first["reason"] == "reason 4"
    assert first.keys().isdisjoint({"key", "value", "value_text", "headers"})


async def test_a_cursor_is_of_this_list_alone(api: CheckedClient, stage: Backstage) -> None:
    for offset in range(2):
        await bury(stage.storage, a_dead_letter(b"", offset))
    cursor = (await api.get(f"{LETTERS}?limit=1")).headers["Link"].partition("cursor=")[2]
    refused = await api.get(f"/keys?cursor={cursor.partition('>')[0]}")
    assert (refused.status, refused.wrong_fields) == (400, {"cursor"})


async def test_one_is_shown_to_the_byte(api: CheckedClient, stage: Backstage) -> None:
    letter_id = await bury_poison(stage)
    shown = (await api.get(f"{LETTERS}/{letter_id}")).json
    assert base64.b64decode(shown["value"]) == POISON
    assert base64.b64decode(shown["key"]) == b"job-7"
    assert "value_text" not in shown
    assert shown["timestamp"] == 1764063062000
    assert shown["headers"] == [
        {"name": "traceparent", "value": "MDA="},
        {"name": "raw", "value": "/w=="},
        {"name": "none"},
    ]


async def test_a_value_that_is_text_is_shown_as_text_too(
    api: CheckedClient, stage: Backstage
) -> None:
    letter_id = (await bury(stage.storage, a_dead_letter('{"ö": \x00'.encode())))[0]
    assert (await api.get(f"{LETTERS}/{letter_id}")).json["value_text"] == '{"ö": \x00'


async def test_one_without_key_and_value_has_neither(api: CheckedClient, stage: Backstage) -> None:
    bare = DeadLetter(Message("t", 0, 2**63 - 1, -(2**63), None), "No value.")
    letter_id = (await bury(stage.storage, bare))[0]
    shown = (await api.get(f"{LETTERS}/{letter_id}")).json
    absent = {"key", "value", "value_text", "key_size", "value_size"}
    assert shown.keys().isdisjoint(absent)
    assert (shown["offset"], shown["timestamp"]) == (2**63 - 1, -(2**63))


async def test_what_is_an_event_now_is_delivered_and_no_dead_letter_any_more(
    api: CheckedClient, stage: Backstage
) -> None:
    await create(api)
    letter_id = await bury_event(stage)
    response = await replay(api, letter_id)
    assert response.status == 202
    assert response.json == {
        "environment_id": ENVIRONMENT,
        "event_id": OPERATORS_EVENT,
        "event": "job-completed",
        "duplicate": False,
    }
    found = (await api.get(f"{EVENTS}/{OPERATORS_EVENT}")).json
    assert [delivery["state"] for delivery in found["deliveries"]] == ["pending"]
    assert (await api.get(LETTERS)).json == []
    for gone in (await replay(api, letter_id), await api.get(f"{LETTERS}/{letter_id}")):
        assert (gone.status, gone.json["error_code"]) == (404, 1305)


async def test_what_is_still_not_an_event_stays_with_what_is_wrong(
    api: CheckedClient, stage: Backstage
) -> None:
    letter_id = await bury_poison(stage)
    refused = await replay(api, letter_id)
    assert (refused.status, refused.json["error_code"]) == (409, 1306)
    assert "not UTF-8" in refused.json["message"]
    assert refused.wrong_fields == {"body"}
    assert [letter["letter_id"] for letter in (await api.get(LETTERS)).json] == [str(letter_id)]
    assert (await api.get("/audit")).json == []


async def test_an_event_that_is_known_already_is_a_duplicate(
    api: CheckedClient, stage: Backstage
) -> None:
    await create(api)
    await replay(api, await bury_event(stage))
    again = a_dead_letter(an_event_by_now(ENVIRONMENT), offset=1)
    response = await replay(api, (await bury(stage.storage, again))[0])
    assert (response.status, response.json["duplicate"]) == (202, True)
    assert len((await api.get(f"{EVENTS}/{OPERATORS_EVENT}")).json["deliveries"]) == 1
    assert (await api.get(LETTERS)).json == []


async def test_data_that_does_not_fit_its_schema_is_a_warning(
    api: CheckedClient, stage: Backstage
) -> None:
    value = an_event_by_now(ENVIRONMENT).replace(b'"succeeded"', b"7")
    response = await replay(api, (await bury(stage.storage, a_dead_letter(value)))[0])
    assert response.status == 202
    assert [warning["field"] for warning in response.json["warnings"]] == ["data.status"]


async def test_the_same_request_again_is_answered_as_it_was(
    api: CheckedClient, stage: Backstage
) -> None:
    letter_id = await bury_event(stage)
    first, again = [await replay(api, letter_id, "once") for _ in range(2)]
    assert (first.status, again.status, again.json) == (202, 202, first.json)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert (await replay(api, letter_id, "another")).status == 404


async def test_of_requests_at_once_in_two_processes_one_publishes(stage: Backstage) -> None:
    letter_id = await bury_event(stage)
    async with called(stage.application) as one, called(stage.application) as other:
        responses = await asyncio.gather(*(replay(api, letter_id) for api in (one, other) * 3))
        assert sorted(response.status for response in responses) == [202, *[404] * 5]
        (entry,) = (await one.get("/audit")).json
    assert (entry["action"], entry["subject"]) == ("replayDeadLetter", str(letter_id))
    assert "environment_id" not in entry


async def test_while_its_environment_is_being_erased_it_waits(
    api: CheckedClient, stage: Backstage
) -> None:
    await create(api)
    letter_id = await bury_event(stage)
    await api.delete(f"/environments/{ENVIRONMENT}")
    for key in (None, "once"):
        refused = await replay(api, letter_id, key)
        assert (refused.status, refused.json["error_code"]) == (409, 1503)
    while not (await stage.storage.erasures.advance(UUID(ENVIRONMENT), 100)).is_last:
        pass
    assert (await replay(api, letter_id, "once")).status == 202
