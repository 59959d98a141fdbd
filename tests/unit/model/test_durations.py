"""Durations are read as Go reads them, and written so that they read back."""

import re
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notification_core.model.durations import MAX_DURATION, format_duration, parse_duration

# An oracle of its own kind: integers of nanoseconds, no fractions and no regular expression.
NANOSECONDS = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,
    "\u03bcs": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}

units = st.sampled_from(sorted(NANOSECONDS))
parts = st.lists(st.tuples(st.integers(0, 10_000), units), min_size=1, max_size=8)
durations = st.timedeltas(min_value=timedelta(0), max_value=MAX_DURATION)


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("0", timedelta(0)),
        ("0s", timedelta(0)),
        ("250ms", timedelta(milliseconds=250)),
        ("1m30s", timedelta(seconds=90)),
        ("2h", timedelta(hours=2)),
        ("1.5h", timedelta(minutes=90)),
        (".5s", timedelta(milliseconds=500)),
        ("1.s", timedelta(seconds=1)),
        ("3us", timedelta(microseconds=3)),
        ("3µs", timedelta(microseconds=3)),
        ("3\u03bcs", timedelta(microseconds=3)),
        ("30s1m", timedelta(seconds=90)),
        ("720h", timedelta(days=30)),
    ],
)
def test_reads_what_go_reads(text: str, duration: timedelta) -> None:
    assert parse_duration(text) == duration


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "1",
        "00",
        "1.5",
        "s",
        ".s",
        "1d",
        "1w",
        "1mm",
        "1h30",
        "-1s",
        "+1s",
        "1h-30m",
        " 1s",
        "1s ",
        "1s\n",
        "1 s",
        "1S",
        "1e3s",
        "1_000s",
        "1,5s",
        "1.2.3s",
        "0x1s",
        "\N{ARABIC-INDIC DIGIT ONE}s",
        "nans",
        "infs",
        "0" * 100 + "s",
    ],
)
def test_refuses_what_go_refuses(text: str) -> None:
    with pytest.raises(ValueError, match="a duration is numbers with units"):
        parse_duration(text)


def test_refuses_what_go_cannot_count() -> None:
    assert parse_duration("2562047h47m16s854ms775us") == MAX_DURATION
    with pytest.raises(ValueError, match="292 years"):
        parse_duration("2562048h")
    with pytest.raises(ValueError, match="292 years"):
        parse_duration("9" * 90 + "h")


def test_a_duration_below_a_microsecond_is_not_taken_for_none() -> None:
    assert parse_duration("1ns") == timedelta(microseconds=1)
    assert parse_duration("1001ns") == timedelta(microseconds=2)
    assert parse_duration("0ns") == timedelta(0)


@pytest.mark.parametrize(
    ("duration", "text"),
    [
        (timedelta(0), "0"),
        (timedelta(seconds=90), "1m30s"),
        (timedelta(hours=120), "120h"),
        (timedelta(milliseconds=1500), "1s500ms"),
        (timedelta(microseconds=1), "1us"),
    ],
)
def test_writes_durations_the_way_people_do(duration: timedelta, text: str) -> None:
    assert format_duration(duration) == text


def test_does_not_write_a_negative_duration() -> None:
    with pytest.raises(ValueError, match="negative"):
        format_duration(timedelta(microseconds=-1))


@given(durations)
def test_what_is_written_reads_back(duration: timedelta) -> None:
    assert parse_duration(format_duration(duration)) == duration


@given(parts)
def test_agrees_with_counting_nanoseconds(written: list[tuple[int, str]]) -> None:
    nanoseconds = sum(count * NANOSECONDS[unit] for count, unit in written)
    text = "".join(f"{count}{unit}" for count, unit in written)
    assert parse_duration(text) == timedelta(microseconds=-(-nanoseconds // 1000))


def is_accepted(text: str) -> bool:
    try:
        parse_duration(text)
    except ValueError:
        return False
    return True


@given(st.text(alphabet="0123456789.nsuµmhd+- ", max_size=7))  # too short to be too long for Go
def test_takes_nothing_but_numbers_with_units(text: str) -> None:
    number = r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)"
    is_duration = text == "0" or re.fullmatch(rf"(?:{number}(?:ns|us|µs|ms|s|m|h))+", text)
    assert is_accepted(text) == bool(is_duration)
