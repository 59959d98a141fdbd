"""The captured request of the reference: a receiver that is built from the page verifies it."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from notification_core import InvalidSignature, verify_request

PAGE = (Path(__file__).parents[3] / "docs/reference/webhook-request.md").read_text("utf-8")


def captured() -> tuple[bytes, dict[str, str], str]:
    """Return the body, the headers and the public key that the page shows."""
    request = re.search(r"```http\n(.*?)\n\n(.*?)\n```", PAGE, re.DOTALL)
    key = re.search(r"public key `([0-9a-f]{64})`", PAGE)
    assert request is not None
    assert key is not None
    _, *lines = request[1].splitlines()
    return request[2].encode(), dict(line.split(": ", 1) for line in lines), key[1]


def test_the_captured_request_verifies_by_each_scheme() -> None:
    body, headers, key = captured()
    now = datetime.fromtimestamp(int(headers["webhook-timestamp"]), UTC)
    ours = {name: value for name, value in headers.items() if name != "webhook-signature"}
    standard = {name: value for name, value in headers.items() if "3dverse" not in name}

    for given in (headers, ours, standard):
        verify_request(body, given, key, now=now)
        with pytest.raises(InvalidSignature):
            verify_request(body + b" ", given, key, now=now)


def test_its_length_is_that_of_the_body() -> None:
    body, headers, _ = captured()

    assert int(headers["Content-Length"]) == len(body)


def test_each_header_is_explained() -> None:
    _, headers, _ = captured()
    explained = set(re.findall(r"^\| `([\w-]+)` \|", PAGE, re.MULTILINE))

    assert headers.keys() - explained == {"Host", "Accept", "Accept-Encoding", "Content-Length"}
