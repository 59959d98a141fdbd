"""Custom headers: which ones a webhook may carry, and which values are never shown again."""

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping

from notification_core.errors import Detail, InvalidInput

MASK = "***"
"""Shown instead of a value; a header with this value keeps the value that is stored."""

MAX_HEADERS = 10
MAX_NAME_LENGTH = 128
MAX_VALUE_LENGTH = 4096

_FIELD = "custom_headers"
_NOTHING_TO_KEEP = (
    "Give this header's value itself, or remove the header: a stored value is kept only for the "
    "scheme, host and port that it was given for."
)

# RFC 9110, section 5.6.2.
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# Visible ASCII, with blanks inside it: "Bearer abc" is a value like any other.
_VALUE = re.compile(r"[!-~](?:[ -~]*[!-~])?")
# Words in a name, as :func:`_normalised` writes it, that tell of a secret.
# fmt: off
_SECRET_WORDS = (
    "auth", "token", "secret", "pass", "pwd", "key", "credential", "cookie", "session",
    "signature",
)
# What HTTP and this system set themselves, what proxies and frameworks trust, what carries a
# trace, and what opens the metadata services of clouds.
_RESERVED = frozenset((
    "host", "content-length", "content-type", "content-encoding", "transfer-encoding", "te",
    "trailer", "connection", "keep-alive", "upgrade", "expect", "date", "accept-encoding", "via",
    "forwarded", "x-real-ip", "x-client-ip", "x-cluster-client-ip", "true-client-ip",
    "x-rewrite-url", "x-method-override", "cookie", "user-agent", "traceparent", "tracestate",
    "baggage", "signature", "signature-input", "content-digest", "metadata", "metadata-flavor",
))
_RESERVED_PREFIXES = (
    "proxy-", "x-forwarded-", "cf-", "fastly-", "x-original-", "x-http-method", "x-envoy-",
    "x-arr-", "webhook-", "x-aws-", "x-amz-", "x-goog-", "x-google-",
)
# fmt: on


def check_custom_headers(
    headers: Mapping[str, str], reserved: Collection[str]
) -> tuple[Detail, ...]:
    """Return what is wrong with a webhook's custom headers; nothing if they are good.

    ``reserved`` are the names of the configured signature headers, in any case.
    """
    if not 1 <= len(headers) <= MAX_HEADERS:
        return (Detail(_FIELD, f"Give 1 to {MAX_HEADERS} headers, or leave the field out."),)
    taken = _RESERVED | {_normalised(name) for name in reserved}
    seen = Counter(name.lower() for name in headers)
    return tuple(
        Detail(_field(name), message)
        for name, value in headers.items()
        for message in _errors(name, value, taken, seen)
    )


def masked(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers with every value masked, as they are logged and shown to readers."""
    return dict.fromkeys(headers, MASK)


def without_secrets(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers as writers see them: masked if the name tells of a secret."""
    return {
        name: MASK if any(word in _normalised(name) for word in _SECRET_WORDS) else value
        for name, value in headers.items()
    }


def restored(new: Mapping[str, str], old: Mapping[str, str]) -> dict[str, str]:
    """Return the new headers with each mask replaced by the old value of that header.

    Raises :class:`InvalidInput`, which names each mask that has no old value.
    """
    old_values = {name.lower(): value for name, value in old.items()}
    masks = [name for name, value in new.items() if value == MASK]
    if missing := [name for name in masks if name.lower() not in old_values]:
        raise InvalidInput(
            f"{MASK} keeps a stored value, and there is none to keep.",
            [Detail(_field(name), _NOTHING_TO_KEEP) for name in missing],
        )
    return {**new, **{name: old_values[name.lower()] for name in masks}}


def _normalised(name: str) -> str:
    """Return a name as receivers compare it: CGI and WSGI take ``X_Real_IP`` for ``X-Real-IP``."""
    return name.lower().replace("_", "-")


def _errors(
    name: str, value: str, taken: Collection[str], seen: Mapping[str, int]
) -> Iterator[str]:
    normalised = _normalised(name)
    if len(name) > MAX_NAME_LENGTH:
        yield f"A header's name has at most {MAX_NAME_LENGTH} characters."
    elif not _TOKEN.fullmatch(name):
        yield "A header's name is letters, digits and !#$%&'*+-.^_`|~ only."
    elif normalised in taken or normalised.startswith(_RESERVED_PREFIXES):
        yield "This header is reserved; choose another name."
    elif seen[name.lower()] > 1:
        yield "Upper and lower case are the same in a header's name; give it once."
    if len(value) > MAX_VALUE_LENGTH:
        yield f"A header's value has at most {MAX_VALUE_LENGTH} characters."
    elif not _VALUE.fullmatch(value):
        yield "A header's value is visible ASCII, with blanks only inside it."


def _field(name: str) -> str:
    return f"{_FIELD}.{name[:MAX_NAME_LENGTH]}"
