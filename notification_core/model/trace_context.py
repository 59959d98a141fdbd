"""Where something stands in a trace: the ``traceparent`` of W3C Trace Context, level 1."""

import re

MAX_TRACEPARENT_LENGTH = 512
"""Later versions may append to the 55 characters of this one."""

_TRACEPARENT = re.compile(
    r"(?P<version>(?!ff)[0-9a-f]{2})"
    r"-(?P<trace_id>(?!0{32})[0-9a-f]{32})-(?P<span_id>(?!0{16})[0-9a-f]{16})"
    r"-(?P<flags>[0-9a-f]{2})(?P<rest>-.*)?"
)


def parse_traceparent(text: str) -> str | None:
    """Return a publisher's ``traceparent`` in the form of version 00; None for what is none.

    Blanks around it are cut. What a later version appends is left out, as the standard says
    (section 3.2.4, "Versioning of traceparent").
    """
    if len(text) > MAX_TRACEPARENT_LENGTH:
        return None
    found = _TRACEPARENT.fullmatch(text.strip(" \t"))
    if found is None or (found["version"] == "00" and found["rest"]):
        return None
    return f"00-{found['trace_id']}-{found['span_id']}-{found['flags']}"


def trace_id_of(traceparent: str) -> str:
    """Return the id of the trace, 32 hex digits, that a valid ``traceparent`` names."""
    return traceparent[3:35]
