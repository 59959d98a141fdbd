"""Dead letters in the console: what is listed and shown, and what a replay shows of its effect."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import pytest
from attrs import evolve

from notification_core.model.message import DeadLetter, Message
from tests.entrypoints.api_services import backstage, on_sqlite
from tests.entrypoints.console.conftest import ENVIRONMENT, HOSTILE, Console, console_of
from tests.entrypoints.console.scenes import call, subscribed
from tests.support.dead_letters import OPERATORS_EVENT, a_dead_letter, an_event_by_now, bury


async def stored(console: Console, letter: DeadLetter) -> UUID:
    return (await bury(console.stage.storage, letter))[0]


@pytest.fixture
async def without_kafka(tmp_path: Path) -> AsyncIterator[Console]:
    """Give a console of an installation that consumes nothing from Kafka."""
    async with backstage(on_sqlite(tmp_path)) as stage:
        application = stage.but(settings={"kafka.brokers": ()})
        async with console_of(stage, application) as console:
            yield console


async def test_without_any_the_page_says_what_would_be_here(console: Console) -> None:
    page = await console.get("/dead-letters")
    assert page.status == 200
    assert "No dead letters" in page.words
    assert "30 d" in page.words
    assert "KAFKA_BROKERS" not in page.words


async def test_without_kafka_the_page_says_so(without_kafka: Console) -> None:
    page = await without_kafka.get("/dead-letters")
    assert "KAFKA_BROKERS is not set" in page.words


async def test_they_are_listed_with_the_reason_and_lead_to_the_message(console: Console) -> None:
    letter_id = await stored(console, a_dead_letter(b"{oops", 48120, HOSTILE))
    page = await console.get("/dead-letters")
    assert f"{HOSTILE} job-events 3 48120 5 B just now Replay" in page.words
    assert "<script>alert" not in page.text
    (link,) = [each for each in page.links if each.endswith(f"/dead-letters/{letter_id}")]
    page = await console.get(link)
    assert page.status == 200
    assert HOSTILE in page.words
    assert "{oops" in page.words
    assert "2025-11-25 09:31:02 UTC" in page.words
    assert "job-7" in page.words
    for header in ("traceparent 00", "raw 0000 ff", "none no value"):
        assert header in page.words


async def test_a_long_list_has_pages(console: Console) -> None:
    await bury(console.stage.storage, *(a_dead_letter(b"{", offset) for offset in range(60)))
    page = await console.get("/dead-letters")
    assert page.text.count('class="row"') == 50
    (older,) = [link for link in page.links if "cursor=" in link]
    page = await console.get(older)
    assert page.text.count('class="row"') == 10
    assert not [link for link in page.links if "cursor=" in link]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "The message has no value."),
        (b"", "Empty: 0 B."),
        (b'\xff{"oops', "0000 ff 7b 22 6f 6f 70 73 .{&#34;oops"),
        (b"a\x00\x1b[31m", "0000 61 00 1b 5b 33 31 6d a..[31m"),
        ("größer".encode(), "größer"),
        (b'{"a":[1]}', "Raw: as it was produced"),
        (b"\xff" * 5000, "The beginning only."),
    ],
)
async def test_a_value_is_shown_as_what_it_is(
    console: Console, value: bytes | None, shown: str
) -> None:
    letter_id = await stored(console, a_dead_letter(value))
    page = await console.get(f"/dead-letters/{letter_id}")
    assert page.status == 200
    assert shown in re.sub(r"\s+", " ", page.text)
    assert "\x1b" not in page.text


async def test_a_time_that_is_none_is_shown_as_the_number_that_it_is(console: Console) -> None:
    bare = DeadLetter(Message("t", 0, 1, 2**62, b"{"), "No event.")
    page = await console.get(f"/dead-letters/{await stored(console, bare)}")
    assert f"{2**62} is not a time" in page.words


async def test_a_replay_shows_the_event_that_it_is_now(console: Console) -> None:
    await subscribed(console, events=["job-completed"])
    letter_id = await stored(console, a_dead_letter(an_event_by_now(ENVIRONMENT)))
    path = f"/dead-letters/{letter_id}"
    key = (await console.get(path)).field("idempotency_key")
    page, again = [await console.post(path, idempotency_key=key) for _ in range(2)]
    assert (page.status, again.status) == (200, 200)
    for words in (page.words, again.words):
        assert "an event now, and is delivered" in words
        assert "No dead letters" in words
    (link,) = [each for each in page.links if each.endswith(f"/events/{OPERATORS_EVENT}")]
    page = await console.get(link)
    assert "Waits for its first attempt." in page.words
    (entry,) = await call(console, "GET", "/audit")
    assert (entry["action"], entry["subject"]) == ("replayDeadLetter", str(letter_id))
    assert (await console.get(path)).status == 404


async def test_a_replay_of_what_is_known_says_so_and_what_does_not_fit(console: Console) -> None:
    unfit = an_event_by_now(ENVIRONMENT).replace(b'"succeeded"', b"7")
    page = await console.post(f"/dead-letters/{await stored(console, a_dead_letter(unfit))}")
    assert "does not match the schema of its type" in page.words
    assert "data.status" in page.words
    again = a_dead_letter(unfit, offset=1)
    page = await console.post(f"/dead-letters/{await stored(console, again)}")
    assert "known before, so nothing new is sent" in page.words


async def test_a_replay_of_what_is_still_not_an_event_says_what_is_wrong(console: Console) -> None:
    letter_id = await stored(console, a_dead_letter(b'{"event":"job-created"}'))
    page = await console.post(f"/dead-letters/{letter_id}")
    assert page.status == 409
    assert "Nothing was published: The event is refused" in page.words
    assert "environment_id: This field is required." in page.words
    assert 'role="alert"' in page.text
    assert "job-events" in (await console.get("/dead-letters")).words


async def test_what_no_page_of_ours_has_sent_replays_nothing(console: Console) -> None:
    letter_id = await stored(console, a_dead_letter(an_event_by_now(ENVIRONMENT)))
    page = await console.send(f"/dead-letters/{letter_id}", {"csrf_token": "made-up"})
    assert page.status == 403
    assert len(await console.stage.storage.dead_letters.page(10)) == 1


async def test_one_that_is_gone_is_not_found(console: Console) -> None:
    for path in ("/dead-letters/mine", f"/dead-letters/{UUID(int=7)}"):
        assert (await console.get(path)).status == 404
        assert (await console.post(path)).status == 404


async def test_an_events_id_may_have_any_character(console: Console) -> None:
    value = an_event_by_now(ENVIRONMENT, "a/b?c")
    letter = evolve(a_dead_letter(value), reason="x" * 1000)
    page = await console.post(f"/dead-letters/{await stored(console, letter)}")
    (link,) = [each for each in page.links if "/events/a%2F" in each]
    assert (await console.get(link)).status == 200
