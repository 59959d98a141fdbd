"""Which custom headers a webhook may carry, and how secret values are hidden."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notification_core.errors import InvalidInput
from notification_core.model.custom_headers import (
    MASK,
    check_custom_headers,
    masked,
    restored,
    without_secrets,
)

CONFIGURED = ("X-3dverse-Signature", "X-3dverse-Signature-Timestamp", "X-3dverse-Signature-Key-Id")

TCHAR = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
NAMES = st.text(TCHAR, min_size=1, max_size=128).map(lambda name: f"A{name}"[:128])
VALUES = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=99)


def wrong_fields(headers: dict[str, str]) -> list[str]:
    return [detail.field for detail in check_custom_headers(headers, CONFIGURED)]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Authorization", "Bearer abc"),
        ("X-Api-Key", "k"),
        ("Accept", "application/json; q=0.5, */*"),
        ("x" * 128, "v" * 4096),
        ("!#$%&'*+-.^_`|~09azAZ", "~"),
        ("X-Webhook-Id", "mine"),
        ("Hostname", "h"),
    ],
)
def test_ordinary_headers_are_good(name: str, value: str) -> None:
    assert check_custom_headers({name: value}, CONFIGURED) == ()


@pytest.mark.parametrize(
    "name",
    """
    Host Content-Length Content-Type Content-Encoding Transfer-Encoding TE Trailer Connection
    Keep-Alive Proxy-Authorization Proxy-Connection Upgrade Expect Date Accept-Encoding Via
    Forwarded X-Forwarded-For X-Forwarded-Host Cookie User-Agent webhook-id Webhook-Anything
    Signature Signature-Input Content-Digest Metadata Metadata-Flavor X-Aws-Ec2-Metadata-Token
    X-Amz-Date X-Goog-Api-Key X-Google-Metadata-Request
    X-Real-IP X-Client-IP X-Cluster-Client-IP True-Client-IP CF-Connecting-IP Fastly-Client-IP
    X-Original-URL X-Rewrite-URL X-HTTP-Method-Override X-HTTP-Method X-Method-Override
    X-Envoy-Internal X-Arr-SSL Traceparent Tracestate Baggage
    X-3DVERSE-Signature x-3dverse-signature-timestamp X-3dverse-Signature-Key-Id
    """.split(),  # noqa: SIM905 - so many names read better as a paragraph
)
def test_reserved_headers_are_refused_in_any_spelling_that_a_receiver_may_take_for_them(
    name: str,
) -> None:
    for spelled in (name, name.lower(), name.upper(), name.replace("-", "_")):
        (detail,) = check_custom_headers({spelled: "v"}, CONFIGURED)

        assert detail.field == f"custom_headers.{spelled}"
        assert "reserved" in detail.message


@pytest.mark.parametrize("name", ["", "a b", "a:b", "a\r\nb", "é", "a/b", "(a)", "a\0", "a\n"])
def test_a_name_that_is_no_token_is_refused(name: str) -> None:
    assert wrong_fields({name: "v"}) == [f"custom_headers.{name}"]


def test_a_name_that_is_too_long_is_refused_and_not_repeated_in_full() -> None:
    (detail,) = check_custom_headers({"x" * 100_000: "v"}, CONFIGURED)

    assert "at most 128" in detail.message
    assert len(detail.field) < 200


@pytest.mark.parametrize(
    "value", ["", " ", " a", "a ", "a\r\nX-Evil: 1", "a\n", "a\tb", "é", "\x7f", "a\0b"]
)
def test_a_value_that_is_not_visible_ascii_is_refused(value: str) -> None:
    assert wrong_fields({"X-Name": value}) == ["custom_headers.X-Name"]


def test_a_value_that_is_too_long_is_refused() -> None:
    (detail,) = check_custom_headers({"X-Name": "v" * 4097}, CONFIGURED)

    assert "at most 4096" in detail.message


def test_a_refused_value_is_not_repeated() -> None:
    (detail,) = check_custom_headers({"Authorization": "Bearer s3cr\u00e9t"}, CONFIGURED)

    assert "s3cr" not in detail.message


def test_one_to_ten_headers_are_good() -> None:
    ten = {f"X-{number}": "v" for number in range(10)}

    assert wrong_fields(ten) == []
    assert wrong_fields({**ten, "X-10": "v"}) == ["custom_headers"]
    assert wrong_fields({}) == ["custom_headers"]


def test_a_name_twice_in_different_case_is_refused() -> None:
    headers = {"X-Name": "1", "x-name": "2", "X-Other": "3"}

    assert wrong_fields(headers) == ["custom_headers.X-Name", "custom_headers.x-name"]


def test_everything_that_is_wrong_is_said_at_once() -> None:
    headers = {"Host": "a\n", "X-Good": "v", "bad name": "v"}

    assert wrong_fields(headers) == [
        "custom_headers.Host",
        "custom_headers.Host",
        "custom_headers.bad name",
    ]


@given(st.dictionaries(NAMES, st.text(), max_size=3))
def test_a_header_that_passes_can_be_written_on_the_wire(headers: dict[str, str]) -> None:
    for name, value in headers.items():
        if check_custom_headers({name: value}, CONFIGURED) == ():
            line = f"{name}: {value}\r\n".encode("ascii")
            assert line.count(b"\r") == line.count(b"\n") == 1
            assert value == value.strip() != ""


@pytest.mark.parametrize(
    "name",
    """
    authorization X-Authorization-Kind COOKIE X-Cookie X-Token my-secret-x X-Password X_Passphrase
    X-Pwd x-api-key X_API_KEY X-ApiKey X-Key X-Credentials X-Session-Id X-Signature-2 tokens
    """.split(),  # noqa: SIM905 - so many names read better as a paragraph
)
def test_a_writer_sees_no_value_whose_name_tells_of_a_secret(name: str) -> None:
    assert without_secrets({name: "hidden", "X-Region": "eu"}) == {name: MASK, "X-Region": "eu"}


@pytest.mark.parametrize("name", ["Accept", "X-Region", "X_Tenant", "X-Api"])
def test_a_writer_sees_other_values(name: str) -> None:
    assert without_secrets({name: "shown"}) == {name: "shown"}


@given(st.dictionaries(NAMES, VALUES, max_size=10))
def test_a_reader_and_the_log_see_no_value_at_all(headers: dict[str, str]) -> None:
    assert masked(headers) == dict.fromkeys(headers, MASK)


def test_sending_the_mask_back_leaves_the_value_as_it_was() -> None:
    old = {"Authorization": "Bearer abc", "X-Region": "eu", "X-Team": "red"}

    assert restored({"authorization": MASK, "X-Region": "us", "X-Team": MASK}, old) == {
        "authorization": "Bearer abc",
        "X-Region": "us",
        "X-Team": "red",
    }


def test_a_secret_can_be_replaced_and_removed() -> None:
    assert restored({"X-Token": "new"}, {"X-Token": "old"}) == {"X-Token": "new"}
    assert restored({}, {"X-Token": "old"}) == {}


def test_a_mask_without_an_old_value_is_refused_by_name() -> None:
    with pytest.raises(InvalidInput) as refused:
        restored({"X-Token": MASK, "X-Region": MASK}, {"x-token": "t"})

    assert [detail.field for detail in refused.value.details] == ["custom_headers.X-Region"]


@given(st.dictionaries(NAMES, VALUES, max_size=10))
def test_what_was_shown_can_be_sent_back(headers: dict[str, str]) -> None:
    distinct = {name.lower(): value for name, value in headers.items()}

    assert restored(masked(distinct), distinct) == distinct
    assert restored(without_secrets(distinct), distinct) == distinct
