"""Messages: what makes one the same, and what a dead letter says of it."""

from uuid import UUID

import pytest
from attrs import evolve

from notification_core.model.message import MAX_REASON_LENGTH, Message, dead_letter, identity_of

MESSAGE = Message("job-events", 3, 41, 1_767_225_600_000, b"value", b"key", (("h", b"1"),))


def test_a_message_that_is_read_again_is_the_same() -> None:
    # Written down: another way to compute it would make every message of today a new one.
    assert identity_of(MESSAGE) == UUID("9a2dd192-d305-5e8b-a03b-2dd0bf1d2139")


@pytest.mark.parametrize(
    "change",
    [
        {"topic": "pipeline-events"},
        {"partition": 4},
        {"offset": 42},
        {"timestamp": 1_767_225_600_001},
        {"value": b"other"},
        {"value": None},
    ],
)
def test_a_message_of_another_place_time_or_content_is_another(change: dict[str, object]) -> None:
    assert identity_of(evolve(MESSAGE, **change)) != identity_of(MESSAGE)  # type: ignore[arg-type]  # any field


def test_a_message_is_as_large_as_what_was_sent() -> None:
    assert MESSAGE.size == len(b"value" + b"key" + b"h" + b"1")
    assert evolve(MESSAGE, value=None, key=None, headers=(("h", None),)).size == 1


def test_the_reason_of_a_dead_letter_can_be_stored_and_is_not_long() -> None:
    letter = dead_letter(MESSAGE, "a\0b\ud800c" + "x" * MAX_REASON_LENGTH)
    assert letter.reason.startswith("a\N{REPLACEMENT CHARACTER}b?c")
    assert len(letter.reason) == MAX_REASON_LENGTH
    assert letter.message is MESSAGE
