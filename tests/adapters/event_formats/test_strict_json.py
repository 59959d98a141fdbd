"""How deep a JSON text is nested is found without parsing it."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from notification_adapters.event_formats.strict_json import TOO_DEEP, depth_error
from notification_core.model.event import MAX_EVENT_DEPTH

_TEXTS = st.text(alphabet='[]{}"\\a\n,', max_size=8)
_VALUES = st.recursive(
    _TEXTS | st.none(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXTS, inner, max_size=4),
    max_leaves=60,
)


def _depth(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max(map(_depth, value.values()), default=0)
    return 1 + max(map(_depth, value), default=0) if isinstance(value, list) else 0


@given(st.lists(_VALUES, max_size=12), st.integers(0, MAX_EVENT_DEPTH + 5))
@example(["\\", '"[', '\\"{'] * 40, MAX_EVENT_DEPTH - 1)
@example(["\\", '"[', '\\"{'] * 40, MAX_EVENT_DEPTH)
def test_a_text_is_too_deep_if_its_value_is(values: list[object], around: int) -> None:
    value: object = values
    for _ in range(around):
        value = [value]
    expected = TOO_DEEP if _depth(value) > MAX_EVENT_DEPTH else None
    assert depth_error(json.dumps(value).encode()) == expected


@pytest.mark.parametrize("closed", [b"", b"]" * (MAX_EVENT_DEPTH + 1)])
@pytest.mark.parametrize("before", [b"", b"{}" * 100, b'"' + b"[" * 100 + b'", '])
def test_what_is_no_json_is_too_deep_where_a_parser_would_be(before: bytes, closed: bytes) -> None:
    assert depth_error(before + b"[" * (MAX_EVENT_DEPTH + 1) + closed) == TOO_DEEP
