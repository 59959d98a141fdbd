"""What the native sender reads out of bytes, however they come apart."""

from collections.abc import Sequence

from attrs import frozen
from hypothesis import given
from hypothesis import strategies as st

from notification_adapters.http.messages import MAX_HEADER_BYTES
from notification_adapters.http.native.response import ResponseReader
from notification_core.model.delivery import ReceivedResponse
from notification_core.ports.sender import MAX_LOGGED_BYTES, SendingFailed

TOKEN = st.text("abcXYZ019-_!~", min_size=1, max_size=8).map(lambda name: f"X-{name}")
VALUE = st.text("abc XYZ:;,=\t\"'", max_size=20).map(str.strip)
HEADERS = st.lists(st.tuples(TOKEN, VALUE), max_size=6)
BODY = st.binary(max_size=300)
INTERIM = st.sampled_from(
    [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"]
)
# What breaks a response when it is put in somewhere.
BREAKS = st.one_of(
    st.binary(max_size=3),
    st.sampled_from([b"\r\n", b"\r\n\r\n", b"\n", b"\r", b"\0", b": ", b"-1", b"0\r\n"]),
    st.sampled_from([b"Content-Length: 1\r\n", b"Transfer-Encoding: chunked\r\n", b"HTTP/1.1 "]),
)


@frozen
class Written:
    """A response, and one way to write it; ``ends_with_connection`` tells of its body."""

    response: ReceivedResponse
    wire: bytes
    ends_with_connection: bool


@st.composite
def written(draw: st.DrawFn) -> Written:
    status = draw(st.integers(200, 999).filter(lambda status: status not in {204, 304}))
    headers, body = draw(HEADERS), draw(BODY)
    framing = draw(st.sampled_from(["length", "chunks", "end"]))
    match framing:
        case "length":
            headers = [*headers, ("Content-Length", str(len(body)))]
            framed = body
        case "chunks":
            headers = [*headers, ("Transfer-Encoding", "chunked")]
            framed = draw(chunked(body))
        case _:
            framed = body
    fields = "".join(f"{name}: {value}\r\n" for name, value in headers)
    head = f"HTTP/1.1 {status} Reason\r\n{fields}\r\n".encode()
    interims = b"".join(draw(st.lists(INTERIM, max_size=2)))
    response = ReceivedResponse(status, tuple(headers), body)
    return Written(response, interims + head + framed, ends_with_connection=framing == "end")


@st.composite
def chunked(draw: st.DrawFn, body: bytes) -> bytes:
    pieces = [piece for piece in draw(in_pieces(body)) if piece]
    extension = draw(st.sampled_from([b"", b";a", b';a="b"']))
    trailer = draw(st.sampled_from([b"", b"X-Trailer: 1\r\n"]))
    chunks = [b"%x%b\r\n%b\r\n" % (len(piece), extension, piece) for piece in pieces]
    return b"".join([*chunks, b"0\r\n", trailer, b"\r\n"])


@st.composite
def in_pieces(draw: st.DrawFn, data: bytes) -> Sequence[bytes]:
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=8)))
    ends = [*cuts, len(data)]
    return [data[begin:end] for begin, end in zip([0, *cuts], ends, strict=True)]


@st.composite
def broken(draw: st.DrawFn) -> bytes:
    """Return a response with something put in, or left out, anywhere."""
    wire = draw(written()).wire
    begin = draw(st.integers(0, len(wire)))
    end = draw(st.integers(begin, min(len(wire), begin + 4)))
    return wire[:begin] + draw(BREAKS) + wire[end:]


def read(reader: ResponseReader, pieces: Sequence[bytes]) -> ReceivedResponse | str | None:
    """Return the response, what is wrong with it, or None where its headers never ended."""
    try:
        for piece in pieces:
            if (response := reader.feed(piece)) is not None:
                return response
        return reader.end(orderly=True)
    except SendingFailed as failure:
        return failure.error.message


@given(st.data(), written())
def test_a_response_is_read_alike_however_it_comes(data: st.DataObject, one: Written) -> None:
    reader = ResponseReader()
    assert read(reader, data.draw(in_pieces(one.wire))) == one.response
    assert reader.reusable is not one.ends_with_connection


@given(st.data(), st.lists(written(), max_size=4))
def test_responses_on_one_connection_leave_each_other_alone(
    data: st.DataObject, several: Sequence[Written]
) -> None:
    reader = ResponseReader()
    for one in several:
        reader.start()
        assert read(reader, data.draw(in_pieces(one.wire))) == one.response
        if one.ends_with_connection:
            break


@given(st.data(), written())
def test_a_response_that_is_cut_counts_once_its_headers_are_there(
    data: st.DataObject, one: Written
) -> None:
    cut = data.draw(st.integers(0, len(one.wire) - 1))
    got = read(ResponseReader(), data.draw(in_pieces(one.wire[:cut])))
    if isinstance(got, ReceivedResponse):
        assert got.http_code == one.response.http_code
        assert one.response.body.startswith(got.body)
        assert got.truncated is not one.ends_with_connection
    else:
        assert got is None


@given(st.data(), broken() | st.binary(max_size=200))
def test_broken_responses_are_read_alike_too_and_within_the_limits(
    data: st.DataObject, wire: bytes
) -> None:
    got = read(ResponseReader(), [wire])
    assert read(ResponseReader(), data.draw(in_pieces(wire))) == got
    if isinstance(got, ReceivedResponse):
        assert got.http_code >= 200
        assert len(got.body) <= MAX_LOGGED_BYTES
        written_headers = "".join(name + value for name, value in got.headers)
        assert len(written_headers) <= MAX_HEADER_BYTES
        assert "\0" not in written_headers
        assert written_headers.encode().decode() == written_headers
