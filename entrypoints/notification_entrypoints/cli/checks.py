"""What is checked of a captured request, and what may be behind a check that fails."""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

from attrs import frozen

from notification_core import InvalidSignature, verify_signature, verify_standard_webhook
from notification_core.model.public_keys import parse_public_key
from notification_core.model.signing_key import thumbprint
from notification_core.signing.verification import TOLERANCE
from notification_entrypoints.cli.captured import Captured
from notification_entrypoints.cli.verification import SignatureForm, single

_STANDARD = "webhook-signature"
_ANY_AGE = timedelta(days=100_000)
_SECONDS = re.compile(r"[0-9]{10}")

_Verify = Callable[[bytes, timedelta], None]


@frozen
class Trust:
    """The keys to trust, and where the signatures of our own scheme stand.

    ``standard`` tells whether there must be a signature of the other scheme as well; None where
    nobody knows.
    """

    keys: Sequence[str]
    form: SignatureForm
    standard: bool | None


@frozen
class Check:
    """One signature: whether it holds, else why not, and what may be behind it."""

    signature: str
    problem: str | None
    hint: str | None = None


def checks(
    captured: Captured, trust: Trust, now: datetime, *, any_age: bool = False
) -> Sequence[Check]:
    """Check every signature that the request has, or should have."""
    return [
        _check(captured, trust, name, verify, any_age=any_age)
        for name, verify in _schemes(captured, trust, now)
    ]


def signed_at(captured: Captured, trust: Trust) -> datetime | None:
    """Return when the request says that it was signed."""
    for name in (trust.form.timestamp_header, "webhook-timestamp"):
        text = captured.headers.get(name, "")
        if _SECONDS.fullmatch(text):
            return datetime.fromtimestamp(int(text), UTC)
    return None


def _schemes(captured: Captured, trust: Trust, now: datetime) -> Iterator[tuple[str, _Verify]]:
    headers, form = captured.headers, trust.form

    def ours(body: bytes, tolerance: timedelta) -> None:
        signature, at = single(headers, form.header), single(headers, form.timestamp_header)
        verify_signature(body, signature, at, trust.keys, now=now, tolerance=tolerance)

    def standard(body: bytes, tolerance: timedelta) -> None:
        verify_standard_webhook(body, headers, trust.keys, now=now, tolerance=tolerance)

    has_standard = _STANDARD in headers
    if form.header in headers or trust.standard is not None or not has_standard:
        yield form.header, ours
    if has_standard or trust.standard:
        yield _STANDARD, standard


def _check(captured: Captured, trust: Trust, name: str, verify: _Verify, *, any_age: bool) -> Check:
    try:
        verify(captured.body, _ANY_AGE if any_age else TOLERANCE)
    except InvalidSignature as error:
        return Check(name, str(error), _hint(captured, trust, verify))
    return Check(name, None)


def _hint(captured: Captured, trust: Trust, verify: _Verify) -> str | None:
    """Return what may be behind a signature that does not hold: what would make it hold."""
    if _holds(verify, captured.body):
        return "All else holds: for an old capture give --any-age, else look at the clocks."
    for body, hint in _bodies(captured.body):
        if body != captured.body and _holds(verify, body):
            return hint
    named = captured.headers.get(trust.form.key_id_header)
    known = {thumbprint(parse_public_key(key)) for key in trust.keys}
    if named is not None and named not in known:
        return f"The request names the key {named[:100]}, which is none of those to trust here."
    return None


def _holds(verify: _Verify, body: bytes) -> bool:
    try:
        verify(body, _ANY_AGE)
    except InvalidSignature:
        return False
    return True


def _bodies(body: bytes) -> Iterator[tuple[bytes, str]]:
    """Yield what the body may have been before something changed it."""
    yield (
        body.rstrip(b"\r\n"),
        "It holds without the line break at the end of the body: that was not sent.",
    )
    yield (
        body.replace(b"\r\n", b"\n"),
        "It holds with the line breaks that were sent: something has written others.",
    )
    try:
        compact = json.dumps(json.loads(body), separators=(",", ":"))
    except (ValueError, RecursionError):
        return
    yield (
        compact.encode(),
        "It holds for the same JSON without blanks: verify the bytes as they came, before parsing.",
    )
