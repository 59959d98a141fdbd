"""Custom headers: which ones a webhook may carry, and which values are never shown again."""

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping

from notification_core.errors import Detail, InvalidInput

MASK = "***"
"""What stands for a secret value wherever it is shown."""

MAX_HEADERS = 10
MAX_NAME_LENGTH = 128
MAX_VALUE_LENGTH = 4096

_FIELD = "custom_headers"

# RFC 9110, section 5.6.2.
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# Visible ASCII, with blanks inside it: "Bearer abc" is a value like any other.
_VALUE = re.compile(r"[!-~](?:[ -~]*[!-~])?")
_SECRET = re.compile(
    r"\A(?:authorization|cookie)\Z|token|secret|password|api-?key|credential", re.IGNORECASE
)

# What HTTP and this system say themselves, what proxies believe, and what opens the metadata
# services of clouds.
# fmt: off
_RESERVED = frozenset((
    "host", "content-length", "content-type", "content-encoding", "transfer-encoding", "te",
    "trailer", "connection", "keep-alive", "upgrade", "expect", "date", "accept-encoding", "via",
    "forwarded", "cookie", "user-agent", "signature", "signature-input", "content-digest",
    "metadata", "metadata-flavor",
))
_RESERVED_PREFIXES = (
    "proxy-", "x-forwarded-", "webhook-", "x-aws-", "x-amz-", "x-goog-", "x-google-",
)
# fmt: on


def check_custom_headers(
    headers: Mapping[str, str], reserved: Collection[str]
) -> tuple[Detail, ...]:
    """Return what is wrong with a webhook's custom headers; nothing where they are good.

    ``reserved`` are the names of the configured signature headers, in any case.
    """
    if not 1 <= len(headers) <= MAX_HEADERS:
        return (Detail(_FIELD, f"Give 1 to {MAX_HEADERS} headers, or leave the field out."),)
    taken = _RESERVED | {name.lower() for name in reserved}
    seen = Counter(name.lower() for name in headers)
    return tuple(
        Detail(_field(name), message)
        for name, value in headers.items()
        for message in _complaints(name, value, taken, seen)
    )


def is_secret(name: str) -> bool:
    """Tell from a header's name whether its value must not be shown."""
    return _SECRET.search(name) is not None


def masked(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers as they may be shown and logged."""
    return {name: MASK if is_secret(name) else value for name, value in headers.items()}


def restored(new: Mapping[str, str], old: Mapping[str, str]) -> dict[str, str]:
    """Return the new headers with each mask replaced by the old value of that header.

    Raises :class:`InvalidInput` where there is no old value.
    """
    known = {name.lower(): value for name, value in old.items()}
    masks = [name for name, value in new.items() if value == MASK and is_secret(name)]
    if missing := [name for name in masks if name.lower() not in known]:
        raise InvalidInput(
            f"{MASK} stands for a value that is already stored, and here there is none.",
            [Detail(_field(name), "Give the value itself.") for name in missing],
        )
    return {**new, **{name: known[name.lower()] for name in masks}}


def _complaints(
    name: str, value: str, taken: Collection[str], seen: Mapping[str, int]
) -> Iterator[str]:
    lower = name.lower()
    if len(name) > MAX_NAME_LENGTH:
        yield f"A header's name has at most {MAX_NAME_LENGTH} characters."
    elif not _TOKEN.fullmatch(name):
        yield "A header's name is letters, digits and !#$%&'*+-.^_`|~ only."
    elif lower in taken or lower.startswith(_RESERVED_PREFIXES):
        yield "This header is reserved; choose another name."
    elif seen[lower] > 1:
        yield "Upper and lower case are the same in a header's name; give it once."
    if len(value) > MAX_VALUE_LENGTH:
        yield f"A header's value has at most {MAX_VALUE_LENGTH} characters."
    elif not _VALUE.fullmatch(value):
        yield "A header's value is visible ASCII, with blanks only inside it."


def _field(name: str) -> str:
    return f"{_FIELD}.{name[:MAX_NAME_LENGTH]}"
