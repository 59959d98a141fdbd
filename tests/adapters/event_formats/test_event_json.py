"""Event messages: what is read, what is refused, and that data goes on as it came."""

import json
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from math import isinf
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from notification_adapters.event_formats.event_json import read_event, read_events
from notification_core.errors import InvalidEvent, TooLarge
from notification_core.model.event import MAX_EVENT_BYTES, Event
from tests.support.samples import CATALOGUE, EVENT_TYPES

ENVIRONMENT = UUID("0b6f2e0c-5d0c-4d7e-8a57-2f7a3f0f6f10")
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
MONTREAL = ZoneInfo("America/Montreal")
EARLIEST = datetime(1, 1, 2)  # noqa: DTZ001 - hypothesis draws times without a zone
LATEST = datetime(9999, 12, 30)  # noqa: DTZ001 - the same


def read(message: bytes, environment_id: UUID | None = ENVIRONMENT) -> Event:
    return read_event(
        message,
        environment_id=environment_id,
        now=NOW,
        zone=MONTREAL,
        catalogue=CATALOGUE,
        make_event_id=lambda: "made",
    )


def read_batch(body: bytes) -> tuple[list[Event], bool]:
    return read_events(
        body,
        environment_id=ENVIRONMENT,
        now=NOW,
        zone=MONTREAL,
        catalogue=CATALOGUE,
        make_event_id=lambda: "made",
    )


def with_data(data: bytes) -> bytes:
    return b'{"event":"job-created","data":' + data + b"}"


def refusal(message: bytes, reader: Callable[[bytes], object] = read) -> list[tuple[str, str]]:
    with pytest.raises(InvalidEvent) as caught:
        reader(message)
    return [(detail.field, detail.message) for detail in caught.value.details]


def test_an_event_keeps_what_its_producer_said() -> None:
    event = read(
        b'{"event_id":"evt-1","event":"job-created",'
        b'"occurred_at":"2026-02-03T04:05:06.789+02:00","data":{"a":1}}'
    )
    at = datetime(2026, 2, 3, 2, 5, 6, 789_000, tzinfo=UTC)
    assert event == Event("evt-1", ENVIRONMENT, "job-created", at, b'{"a":1}')
    assert event.occurred_at.tzinfo is UTC


def test_what_the_producer_left_out_is_made_up() -> None:
    event = read(b'{"event":"job-created","data":{}}')
    assert (event.event_id, event.occurred_at) == ("made", NOW)


def test_a_time_without_offset_is_read_in_the_configured_zone() -> None:
    event = read(b'{"event":"job-created","occurred_at":"2026-01-15T10:00:00","data":1}')
    assert event.occurred_at == datetime(2026, 1, 15, 15, tzinfo=UTC)


def test_a_message_from_elsewhere_says_its_environment_itself() -> None:
    message = with_data(b"1")[:-1] + b',"environment_id":"%b"}' % str(ENVIRONMENT).encode()
    assert read(message, environment_id=None).environment_id == ENVIRONMENT
    assert refusal(with_data(b"1"), lambda m: read(m, environment_id=None)) == [
        ("environment_id", "This field is required.")
    ]
    assert refusal(message)[0][0] == "environment_id"


@pytest.mark.parametrize(
    "data",
    [
        b'{ "a" :\t1.50,\r\n "b": [ ] }',
        b'{"a":1,"a":2}',
        b'"\\u0000"',
        b"9" * 5_000,
        b"-1" + b"0" * 400,
        b"1e-999",
        b"1E+2",
        b'"\\ud83d\\ude00 \\/ \xf0\x9f\x98\x80"',
        b"null",
        b"[" * 63 + b"]" * 63,
        b'"' + b"[" * 200 + b'\\"' + b"{" * 200 + b'"',
        b'{"data":[' + b"{}," * 500 + b"1]}",
    ],
    ids=lambda data: data[:24],
)
def test_data_goes_on_byte_for_byte_as_it_came(data: bytes) -> None:
    assert read(with_data(data)).data == data
    assert read(with_data(b" \n" + data + b"\t")).data == data
    assert read_batch(b"[" + with_data(data) + b"]")[0][0].data == data


@pytest.mark.parametrize(
    ("message", "field", "text"),
    [
        (b"", "body", "not JSON"),
        (b"nonsense", "body", "not JSON"),
        (with_data(b"[1,]"), "body", "not JSON"),
        (with_data(b'"\x01"'), "body", "not JSON"),
        (with_data(b"1") + b"x", "body", "not JSON"),
        (b"\xef\xbb\xbf" + with_data(b"1"), "body", "not JSON"),
        (with_data(b'"\xff"'), "body", "not UTF-8"),
        (with_data(b'"\xed\xa0\x80"'), "body", "not UTF-8"),
        (b'{"event":"job-created","data":"\xff","data":1}', "body", "not UTF-8"),
        (with_data(b"NaN"), "body", "NaN is not JSON"),
        (with_data(b"[-Infinity]"), "body", "-Infinity is not JSON"),
        (with_data(b'{"a":1e999}'), "body", "1e999 overflows"),
        (with_data(b'"\\ud800"'), "body", "surrogate"),
        (with_data(b'"\\uDC00"'), "body", "surrogate"),
        (with_data(b'{"\\ud83dx":1}'), "body", "surrogate"),
        (with_data(b"[" * 64 + b"]" * 64), "body", "64 levels"),
        (with_data(b'{"a":' * 64 + b"1" + b"}" * 64), "body", "64 levels"),
        (with_data(b"[" * 10_000 + b"]" * 10_000), "body", "64 levels"),
        (b"[" * 500_000, "body", "64 levels"),
        (b'"an event"', "body", "JSON object"),
        (b"17", "body", "JSON object"),
        (b'{"event":"job-created","data":1,"data":1}', "data", "2 times"),
        (b'{"event":"job-created","data":1,"\\u0065vent":"job-created"}', "event", "2 times"),
        (b'{"event":"job-created"}', "data", "required"),
        (b'{"data":1}', "event", "required"),
        (b'{"event":"job-created","data":1,"extra":2}', "extra", "Unknown field"),
        (b'{"event":"job-eaten","data":1}', "event", "event type 'job-eaten'; the types are"),
        (b'{"event":7,"data":1}', "event", "the types are"),
        (b'{"event":"job-created","data":1,"event_id":""}', "event_id", "1 to 256"),
        (b'{"event":"job-created","data":1,"event_id":null}', "event_id", "1 to 256"),
        (b'{"event":"job-created","data":1,"event_id":"\\u0000"}', "event_id", "U+0000"),
        (
            b'{"event":"job-created","data":1,"event_id":"' + b"x" * 257 + b'"}',
            "event_id",
            "1 to 256",
        ),
        (b'{"event":"job-created","data":1,"occurred_at":"today"}', "occurred_at", "RFC 3339"),
        (b'{"event":"job-created","data":1,"occurred_at":1700000000}', "occurred_at", "RFC 3339"),
        (
            b'{"event":"job-created","data":1,"occurred_at":"0001-01-01T00:00:00+14:00"}',
            "occurred_at",
            "RFC 3339",
        ),
    ],
    ids=lambda value: value[:48] if isinstance(value, bytes) else None,
)
def test_what_is_refused_says_where_and_why(message: bytes, field: str, text: str) -> None:
    details = refusal(message)
    assert details[0][0] == field
    assert text in details[0][1]


def test_the_same_is_refused_in_a_batch_and_named_by_its_place() -> None:
    good = with_data(b"1")
    bad = b'{"event":"job-eaten","data":1,"x":1}'
    details = refusal(b"[" + b",".join([good, bad, good, with_data(b"1e999")]) + b"]", read_batch)
    assert [field for field, _ in details] == ["[1].event", "[1].x", "[3]"]


def test_everything_that_is_wrong_is_said_at_once() -> None:
    assert [field for field, _ in refusal(b'{"event":"x","occurred_at":1,"y":2}')] == [
        "event",
        "occurred_at",
        "y",
        "data",
    ]


def test_what_is_said_is_bounded() -> None:
    names = b",".join(b'"%d%b":1' % (index, b"x" * 90) for index in range(5_000))
    details = refusal(b"{" + names + b"}")
    assert len(details) == 100
    assert all(len(field) < 70 for field, _ in details)


def test_an_event_id_may_have_256_characters_of_any_script() -> None:
    event_id = "ß" * 256
    message = json.dumps({"event": "job-created", "data": 1, "event_id": event_id})
    assert read(message.encode()).event_id == event_id


def test_an_event_may_have_1_mib_and_not_a_byte_more() -> None:
    room = MAX_EVENT_BYTES - len(with_data(b'""'))
    largest = with_data(b'"' + b"x" * room + b'"')
    assert len(read(b"  " + largest + b"\n").data) == room + 2
    for body, field in ((largest[:-2] + b'x"}', "body"), (b"[" + largest[:-2] + b'x"}]', "[0]")):
        with pytest.raises(TooLarge, match=r"1,048,576 bytes; this one has 1,048,577") as caught:
            read_batch(body)
        assert caught.value.details[0].field == field


def test_a_batch_keeps_its_order_and_is_told_from_a_single_event() -> None:
    events, single = read_batch(b" [ " + with_data(b"1") + b" , " + with_data(b"2") + b" ]")
    assert ([event.data for event in events], single) == ([b"1", b"2"], False)
    events, single = read_batch(b"\n" + with_data(b"3"))
    assert ([event.data for event in events], single) == ([b"3"], True)


@pytest.mark.parametrize("body", [b"[]", b"[1", b"[1]x", b"[" * 100_000, b'["\\ud800"]', b"["])
def test_a_batch_that_holds_no_events_is_refused(body: bytes) -> None:
    assert refusal(body, read_batch)[0][0] == "body"


def test_a_batch_is_read_until_a_hundred_wrong_things_are_found() -> None:
    wrong = [b'{"event":1}'] * 1_000
    with pytest.raises(InvalidEvent) as caught:
        read_batch(b"[" + b",".join(wrong) + b"]")
    assert len(caught.value.details) == 100
    assert caught.value.details[-1].field.startswith("[49]")
    assert "(99 more)" in str(caught.value)


def test_a_batch_has_at_most_a_thousand_events() -> None:
    thousand = [with_data(b"1")] * 1_000
    assert len(read_batch(b"[" + b",".join(thousand) + b"]")[0]) == 1_000
    with pytest.raises(TooLarge, match="at most 1,000 events; this one has more"):
        read_batch(b"[" + b",".join([*thousand, thousand[0]]) + b"]")


# An oracle: a slow parser of RFC 8259 that shares nothing with the code under test.

_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_STRING = re.compile(r'"((?:[^"\\\x00-\x1f]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4})*)"')
_ESCAPE = re.compile(r'\\(?:u([0-9a-fA-F]{4})|(["\\/bfnrt]))')
_PLAIN = dict(zip('"\\/bfnrt', '"\\/\b\f\n\r\t', strict=True))


class Refused(Exception):
    """The oracle says no."""


class Parser:
    """Parses a text; objects become lists of (key, value, source) in a list subclass."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def document(self) -> object:
        value = self.value(1)
        self.blank()
        if self.at != len(self.text):
            raise Refused
        return value

    def blank(self) -> None:
        while self.at < len(self.text) and self.text[self.at] in " \t\r\n":
            self.at += 1

    def take(self, expected: str) -> bool:
        self.blank()
        found = self.text.startswith(expected, self.at)
        self.at += len(expected) if found else 0
        return found

    def need(self, expected: str) -> None:
        if not self.take(expected):
            raise Refused

    def value(self, depth: int) -> object:
        for literal in ("true", "false", "null"):
            if self.take(literal):
                return None
        if self.take("{"):
            return self.object(depth)
        if self.take("["):
            self.array(depth)
            return None
        return self.string() if self.text.startswith('"', self.at) else self.number()

    def object(self, depth: int) -> "Members":
        members = Members()
        if depth > 64:
            raise Refused
        if self.take("}"):
            return members
        while True:
            self.blank()
            key = self.string()
            self.need(":")
            self.blank()
            start = self.at
            value = self.value(depth + 1)
            members.append((key, value, self.text[start : self.at]))
            if self.take("}"):
                return members
            self.need(",")

    def array(self, depth: int) -> None:
        if depth > 64:
            raise Refused
        if self.take("]"):
            return
        while True:
            self.value(depth + 1)
            if self.take("]"):
                return
            self.need(",")

    def string(self) -> str:
        match = _STRING.match(self.text, self.at)
        if match is None:
            raise Refused
        self.at = match.end()
        units = _ESCAPE.sub(
            lambda m: chr(int(m[1], 16)) if m[1] else _PLAIN[m[2]], match[1]
        ).encode("utf-16-le", "surrogatepass")
        try:
            return units.decode("utf-16-le")
        except UnicodeDecodeError as error:
            raise Refused from error

    def number(self) -> int:
        match = _NUMBER.match(self.text, self.at)
        if match is None or ((match[1] or match[2]) and isinf(float(match[0]))):
            raise Refused
        self.at = match.end()
        return 0


class Members(list[tuple[str, object, str]]):
    """An object's members."""


def oracle(message: bytes) -> tuple[str, str, bytes] | None:
    """Return the (event_id, type, data) that should be read, or None for a refusal."""
    try:
        value = Parser(message.decode()).document()
    except (UnicodeDecodeError, Refused):
        return None
    if not isinstance(value, Members):
        return None
    keys = [key for key, _, _ in value]
    values = {key: (item, source) for key, item, source in value}
    if len(keys) != len(values) or not {"event", "data"} <= set(keys) <= {
        "event",
        "data",
        "event_id",
    }:
        return None
    event_type, event_id = values["event"][0], values.get("event_id", ("made", ""))[0]
    if event_type not in EVENT_TYPES or not isinstance(event_id, str):
        return None
    if not 1 <= len(event_id) <= 256 or "\0" in event_id:
        return None
    return event_id, str(event_type), values["data"][1].encode()


def outcome(message: bytes) -> tuple[str, str, bytes] | None:
    try:
        event = read(message)
    except InvalidEvent:
        return None
    return event.event_id, event.type, event.data


ODD_VALUES = [
    b"1e999", b"-1e400", b"NaN", b"-Infinity", b"1e-999", b"9" * 4_400, b"01", b"1.", b"-", b"-0",
    b'"\\ud800"', b'"\\udc00\\ud800"', b'"\\ud83d\\ude00"', b'"\xff"', b'"\xed\xa0\x80"', b"nul",
    b'"\\u0000"', b'"\x00"', b'"\\x"', b'"\x7f"', b'{"a":1,"a":2}', b"[1,]", b"{,}", b'"',
    b"[" * 63 + b"]" * 63, b"[" * 64 + b"]" * 64, b'{"a":' * 63 + b"[]" + b"}" * 63, b"",
    b'{"a":' * 30 + b"[" * 33 + b"]" * 33 + b"}" * 30, b"[" * 70 + b"]" * 69, b'"[[' * 99,
]  # fmt: skip
BLANKS = st.sampled_from([b"", b"", b" ", b"\r\n", b"\t", b"\f", b"\xc2\xa0"])
PLAIN_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def rendered(value: object, spaced: bool, escaped: bool) -> bytes:  # noqa: FBT001 - hypothesis fills these in
    separators = None if spaced else (",", ":")
    text = json.dumps(value, separators=separators, ensure_ascii=escaped)
    return text.encode("utf-8", "surrogatepass")


JSON_TEXTS = st.builds(rendered, PLAIN_VALUES, st.booleans(), st.booleans())
VALUES = JSON_TEXTS | st.sampled_from(ODD_VALUES)
TYPES = st.sampled_from([*EVENT_TYPES, *EVENT_TYPES, "job-eaten", ""])
EVENT_IDS = st.text(max_size=8) | st.sampled_from(["x" * 256, "é" * 257])


def strings(texts: st.SearchStrategy[str]) -> st.SearchStrategy[bytes]:
    return st.builds(rendered, texts, st.just(value=False), st.booleans())


PAIRS = st.one_of(
    st.tuples(st.just(b'"event"'), strings(TYPES)),
    st.tuples(st.just(b'"data"'), VALUES),
    st.tuples(st.just(b'"event_id"'), strings(EVENT_IDS)),
    st.tuples(st.sampled_from([b'"\\u0065vent"', b'"d\\u0061ta"', b'"more"', b'"event "']), VALUES),
)


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    """Draw something that is nearly always an object, and often a good event."""
    pairs: Sequence[tuple[bytes, bytes]] = [
        (b'"event"', draw(strings(TYPES))),
        (b'"data"', draw(VALUES)),
        *draw(st.lists(PAIRS, max_size=2)),
    ]
    space = draw(st.lists(BLANKS, min_size=4, max_size=4))
    members = [space[0] + key + space[1] + b":" + space[2] + value for key, value in pairs]
    return b"{" + b",".join(draw(st.permutations(members))) + space[3] + b"}"


@given(messages())
@example(with_data(b'"\\ud800"'))
def test_messages_are_validated_as_the_slow_oracle_validates_them(message: bytes) -> None:
    assert outcome(message) == oracle(message)


@given(messages(), st.data())
def test_damaged_messages_are_validated_as_the_slow_oracle_validates_them(
    message: bytes, data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(message)))
    cut = data.draw(st.integers(0, 3))
    put = data.draw(st.binary(max_size=2) | st.sampled_from([b'"', b"\\", b"{", b",", b"1e"]))
    damaged = message[:at] + put + message[at + cut :]
    assert outcome(damaged) == oracle(damaged)


@given(st.lists(messages(), min_size=1, max_size=4))
def test_a_batch_takes_what_its_events_alone_would_have_been(batch: list[bytes]) -> None:
    alone = [oracle(message) for message in batch]
    try:
        events, single = read_batch(b"[" + b",".join(batch) + b"]")
    except InvalidEvent:
        assert None in alone
    else:
        assert [(event.event_id, event.type, event.data) for event in events] == alone
        assert not single


@given(
    st.datetimes(EARLIEST, LATEST),
    st.none() | st.integers(-23 * 60, 23 * 60),
)
def test_a_time_is_read_as_python_writes_it(at: datetime, offset: int | None) -> None:
    minutes = timedelta(minutes=abs(offset or 0))
    sign = "-" if (offset or 0) < 0 else "+"
    text = at.isoformat() + (f"{sign}{str(minutes).zfill(8)[:5]}" if offset is not None else "")
    message = json.dumps({"event": "job-created", "data": 1, "occurred_at": text})
    expected = datetime.fromisoformat(text)
    expected = expected if expected.tzinfo else expected.replace(tzinfo=MONTREAL)
    assert read(message.encode()).occurred_at == expected


@pytest.mark.parametrize("key", ["a", "x" * 256, "a\\nb", "\u00e9", " ", "."])
def test_an_ordering_key_is_read(key: str) -> None:
    message = b'{"event":"job-created","ordering_key":"%b","data":{}}' % key.encode()
    assert read(message).ordering_key == json.loads(f'"{key}"')


def test_an_event_without_an_ordering_key_has_none() -> None:
    assert read(with_data(b"{}")).ordering_key is None


@pytest.mark.parametrize("key", ['""', f'"{"x" * 257}"', '"a\\u0000b"', "1", "null", "[]"])
def test_what_is_no_ordering_key_is_refused_by_name(key: str) -> None:
    message = b'{"event":"job-created","ordering_key":%b,"data":{}}' % key.encode()
    assert [field for field, _ in refusal(message)] == ["ordering_key"]
