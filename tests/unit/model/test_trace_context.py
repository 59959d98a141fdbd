"""What of W3C Trace Context is taken, and what is not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notification_core.model.trace_context import parse_traceparent, trace_id_of

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GIVEN = f"00-{TRACE}-{SPAN}-01"


def hexadecimal(length: int) -> st.SearchStrategy[str]:
    digits = st.text("0123456789abcdef", min_size=length, max_size=length)
    return digits.filter(lambda text: text.strip("0"))


@given(hexadecimal(32), hexadecimal(16), st.integers(0, 255))
def test_every_valid_traceparent_is_taken_as_it_is(trace: str, span: str, flags: int) -> None:
    text = f"00-{trace}-{span}-{flags:02x}"
    assert parse_traceparent(text) == text
    assert trace_id_of(text) == trace


@given(st.one_of(st.text(max_size=600), st.from_regex(r"[0-9a-f-]{50,60}", fullmatch=True)))
def test_whatever_comes_is_refused_or_has_the_one_form(text: str) -> None:
    taken = parse_traceparent(text)
    assert taken is None or (parse_traceparent(taken) == taken and len(taken) == len(GIVEN))


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        GIVEN.upper(),
        GIVEN[:-1],
        f"{GIVEN}-",
        f"{GIVEN}-more",
        f"{GIVEN}\n",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"01-{TRACE}-{SPAN}-01{'x'}",
        f"01-{TRACE}-{SPAN}-01-{'x' * 512}",
    ],
)
def test_what_the_standard_refuses_is_none(wrong: str) -> None:
    assert parse_traceparent(wrong) is None


@pytest.mark.parametrize("later", [f" {GIVEN}\t", f"01{GIVEN[2:]}", f"cc{GIVEN[2:]}-what-may-come"])
def test_a_later_version_is_read_as_far_as_this_one_knows_it(later: str) -> None:
    assert parse_traceparent(later) == GIVEN
