"""Test vectors for verifiers: requests that are genuine, and requests that are not.

The published ones are of a fixed time. The session ``receivers`` makes the same ones of the present
time, and sends each to each example of ``docs/receivers``.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from attrs import asdict, frozen
from schema_tables import table

from notification_core import InvalidSignature, verify_request
from notification_core.model.secret_text import parse_signing_secret
from notification_core.model.signing_key import SigningKey, new_signing_key, public_forms
from notification_core.model.signing_secret import SigningSecret
from notification_core.signing.signatures import (
    SignatureHeaders,
    add_symmetric_signatures,
    message_id,
    sign,
)
from notification_core.signing.verification import SIGNATURE_HEADER, TIMESTAMP_HEADER

PUBLISHED_AT: Final = 1_700_000_000
SECRET: Final = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX"  # noqa: S105 - a secret that everybody knows
_ENVIRONMENT: Final = UUID("0b6f2e0c-5d0c-4d7e-8a57-2f7a3f0f6f10")
_EPOCH: Final = datetime.fromtimestamp(0, UTC)
_NAMES: Final = SignatureHeaders(SIGNATURE_HEADER, TIMESTAMP_HEADER)
_ID: Final = "019ab5c3-7f00-7aa1-8c11-2d6f0b8e4c77"
_BODY: Final = (
    f'{{"id":"{_ID}","type":"job-completed","timestamp":"2023-11-14T22:13:20.000000Z",'
    f'"environment_id":"{_ENVIRONMENT}","data":{{"status":"failed"}}}}'
)
_OTHER_BODY: Final = _BODY.replace("failed", "succeeded")
# Characters of two and four bytes, spaces, and a number that no float holds.
_ODD_BODY: Final = _BODY.replace('"failed"', '"\u00e9\U0001f600",  "count": 12345678901234567890')
_TOO_LATE, _IN_TIME = 310, 280  # five minutes, with room for the time that a run takes


def _key(first: int) -> SigningKey:
    """Return the key whose private half is 32 bytes that count up from this one."""
    return new_signing_key(_ENVIRONMENT, _EPOCH, bytes(range(first, first + 32)))


ACTIVE, RETIRING, UNKNOWN = _key(0), _key(1), _key(2)
TRUSTED: Final = (ACTIVE, RETIRING)


@frozen
class Case:
    """A request, whether it is genuine at the time of the vectors, and what it is about."""

    name: str
    is_valid: bool
    headers: Mapping[str, str]
    body: str


_Request = tuple[str, Mapping[str, str], str]
"""The name of a case, its headers and its body."""


def cases(now: int) -> Iterator[Case]:
    """Yield the requests as they are at a unix second."""
    for name, headers, body in _genuine(now):
        yield Case(name, is_valid=True, headers=headers, body=body)
    for name, headers, body in _forged(now):
        yield Case(name, is_valid=False, headers=headers, body=body)


def _genuine(now: int) -> Iterator[_Request]:
    whole = _signed(now)
    yield "all schemes", whole, _BODY
    for name, headers in _schemes(whole).items():
        yield f"{name} alone", headers, _BODY
    yield "UTF-8, spaces and a large number", _signed(now, _ODD_BODY), _ODD_BODY
    yield "by the key before the active one", _signed(now, by=[RETIRING]), _BODY
    asymmetric = _standard(whole, "v1a")
    both = _standard(_signed(now, by=[UNKNOWN, ACTIVE]), "v1a")
    yield "v1a: the second entry is by a trusted key", both, _BODY
    newer = {**asymmetric, "webhook-signature": f"v2,AAAA {asymmetric['webhook-signature']}"}
    yield "an entry of an unknown version beside v1a", newer, _BODY
    for seconds, word in ((-_IN_TIME, "ago"), (_IN_TIME, "ahead")):
        name = f"signed {_IN_TIME} seconds {word}"
        yield name, _signed(now + seconds), _BODY


def _forged(now: int) -> Iterator[_Request]:
    yield from _forged_times(now)
    whole = _signed(now)
    own, asymmetric, symmetric = _schemes(whole).values()
    for name, headers in _schemes(whole).items():
        yield f"{name}: another body", headers, _OTHER_BODY
    for name, headers in (("v1a", asymmetric), ("v1", symmetric)):
        renamed = {**headers, "webhook-id": "msg_other"}
        yield f"{name}: another webhook-id", renamed, _BODY
    forged = {**_signed(now, by=[UNKNOWN]), "X-3dverse-Signature-Key-Id": ACTIVE.key_id}
    forged["webhook-signature"] = forged["webhook-signature"].split(" ")[0]
    yield "by an unknown key that names the active one's id", forged, _BODY
    confused = _signed(now, secret=ACTIVE.public_key)
    yield "v1 with a public key as secret", _standard(confused, "v1"), _BODY
    swapped = asymmetric["webhook-signature"].replace("v1a,", "v1,")
    yield "v1a named v1", {**asymmetric, "webhook-signature": swapped}, _BODY
    swapped = symmetric["webhook-signature"].replace("v1,", "v1a,")
    yield "v1 named v1a", {**symmetric, "webhook-signature": swapped}, _BODY
    text = {**own, "X-3dverse-Signature": "not hex"}
    yield "X-3dverse-Signature: not hex", text, _BODY
    text = {**asymmetric, "webhook-signature": "v1a,*** v1,*** v1a v1, ,"}
    yield "webhook-signature: not base64", text, _BODY
    yield "the timestamp alone", {"webhook-timestamp": str(now)}, _BODY
    yield "without signatures", {}, _BODY


def _forged_times(now: int) -> Iterator[_Request]:
    old, ahead = _signed(now - _TOO_LATE), _signed(now + _TOO_LATE)
    for seconds, signed in (("ago", old), ("ahead", ahead)):
        for name, headers in _schemes(signed).items():
            yield f"{name}: signed {_TOO_LATE} seconds {seconds}", headers, _BODY
    redated = {**old, "webhook-timestamp": str(now), TIMESTAMP_HEADER: str(now)}
    yield "the timestamps are changed", redated, _BODY
    half = {**_only(old, "X-3dverse"), "webhook-timestamp": str(now)}
    yield "only the timestamp that is not signed is changed", half, _BODY
    # What the data hold is the publisher's: a time in them must not be taken for the signed one.
    inner = f'{{"id":"{_ID}"}}'
    head = _BODY.replace('"failed"', '"')[:-2]
    cut = _standard(_signed(now - _TOO_LATE, f"{head}.{now}.{inner}"), "v1a")
    prefix = f"{cut['webhook-id']}.{now - _TOO_LATE}.{head}"
    cut = {**cut, "webhook-id": prefix, "webhook-timestamp": str(now)}
    yield "v1a: a webhook-id with dots and a part of the body", cut, inner


def _schemes(headers: Mapping[str, str]) -> Mapping[str, Mapping[str, str]]:
    """Return the headers of each scheme alone."""
    return {
        "X-3dverse-Signature": _only(headers, "X-3dverse"),
        "v1a": _standard(headers, "v1a"),
        "v1": _standard(headers, "v1"),
    }


def _signed(
    second: int, body: str = _BODY, by: Sequence[SigningKey] = (ACTIVE,), secret: bytes = b""
) -> dict[str, str]:
    """Return the headers of a request that is signed in all schemes."""
    symmetric = SigningSecret(_ENVIRONMENT, secret or parse_signing_secret(SECRET), _EPOCH)
    headers = sign(_NAMES, by, message_id(_ENVIRONMENT, _ID), second, body.encode())
    return dict(add_symmetric_signatures(headers, [symmetric], body.encode()))


def _only(headers: Mapping[str, str], prefix: str) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.startswith(prefix)}


def _standard(headers: Mapping[str, str], version: str) -> dict[str, str]:
    """Return the headers of Standard Webhooks with the entries of one version, and the key's id."""
    entries = headers["webhook-signature"].split(" ")
    chosen = " ".join(each for each in entries if each.startswith(f"{version},"))
    return {
        **_only(headers, "webhook"),
        "webhook-signature": chosen,
        _NAMES.key_id: headers[_NAMES.key_id],
    }


def published_vectors() -> Mapping[str, Any]:
    """Return what the file holds: keys, secret, time, and the requests, each of them tried."""
    trusted = [key.public_key.hex() for key in TRUSTED]
    now = datetime.fromtimestamp(PUBLISHED_AT, UTC)
    found = list(cases(PUBLISHED_AT))
    for case in found:
        try:
            verify_request(case.body.encode(), case.headers, [*trusted, SECRET], now=now)
        except InvalidSignature:
            is_valid = False
        else:
            is_valid = True
        if is_valid != case.is_valid:
            raise ValueError(f"{case.name}: the verifier of the core says {is_valid}.")
    return {
        "now": PUBLISHED_AT,
        "tolerance_seconds": 300,
        "jwks": {"keys": [public_forms(key.public_key).jwk for key in TRUSTED]},
        "private_keys_hex": {key.key_id: key.seed.hex() for key in TRUSTED},
        "secret": SECRET,
        "requests": [asdict(case) for case in found],
    }


def vectors_page() -> Sequence[str]:
    """Return the page that explains the vectors and lists them."""
    rows = [
        (case.name, "genuine" if case.is_valid else "to be refused") for case in cases(PUBLISHED_AT)
    ]
    return (
        "# Test vectors",
        (
            "Requests that a verifier must accept or refuse: "
            "{download}`signing-vectors.json`. They are for whoever writes a verifier; the "
            "[examples](../how-to/verify.md) pass them all."
        ),
        table(
            ("member", "meaning"),
            [
                ("`now`", "The time at which they are verified, in unix seconds."),
                ("`tolerance_seconds`", "How far a timestamp may be from it, either way."),
                ("`jwks`", "The keys to trust, as the API publishes those of an environment."),
                (
                    "`private_keys_hex`",
                    "Their private halves by key id, for tests: everybody knows them.",
                ),
                ("`secret`", "The signing secret of the `v1` signatures."),
                (
                    "`requests`",
                    "`name`, `headers`, `body` (sent as UTF-8), and `is_valid` at that time.",
                ),
            ],
        ),
        table(("request", "is"), rows),
    )
