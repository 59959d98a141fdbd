"""Why a destination is refused, in sentences that reveal nothing of our network."""

from typing import Final

MAX_URL_LENGTH: Final = 2_048
"""Characters."""

_WRONG = {
    "reject:length": f"The URL is too long. Use at most {MAX_URL_LENGTH} characters.",
    "reject:charset": (
        "The URL is empty or holds a character that a URL must not hold. Use plain ASCII without "
        "spaces, backslashes and #; write international names in their xn-- form and everything "
        "else as %XX."
    ),
    "reject:pct": "The URL holds a % that is not followed by two hex digits. Write % as %25.",
    "reject:scheme-or-form": "Not a valid URL. Use http or https, such as https://host/path.",
    "reject:brackets": "The URL holds brackets in its path or query. Write them as %5B and %5D.",
    "reject:userinfo": (
        "The URL holds a user name or an @ before the host. Leave it out; credentials go into a "
        "custom header."
    ),
    "reject:pct-host": "The URL's host holds a %. Write the host in plain letters.",
    "reject:ipv6-literal": (
        "The URL's host is no IPv6 address in brackets. Write it as https://[address]/ or "
        "https://[address]:port/, without a zone."
    ),
    "reject:authority": "The URL's host or port is missing or malformed. Use host or host:port.",
    "reject:port": "The URL's port is no number from 1 to 65535 without leading zeros.",
    "reject:hostname": (
        "The URL's host is no host name. Use labels of at most 63 letters, digits, - and _ that "
        "neither begin nor end with -, joined by single dots, at most 253 characters."
    ),
    "reject:noncanonical-ip": (
        "The URL's host is an address that can be read in more than one way. Write IPv4 as four "
        "decimal numbers without leading zeros, IPv6 in its shortest form, or use a host name."
    ),
    "deny:single-label": (
        "The URL's host is a name without a dot, which is not public. Use a public host name."
    ),
    "deny:name": "The URL's host is a name of private networks. Use a public host name.",
    "deny:port": (
        "The URL's port is reserved for another protocol. Use 80, 443, or one from 1024 up that "
        "browsers do not block."
    ),
    "deny:http": "The URL is not encrypted. Use https.",
}
# One sentence for all addresses: it tells no range, and nothing of what is behind one.
_WRONG_ADDRESS = (
    "The host's address is not one that webhooks are sent to. Use a host with a public address."
)


def message_for(reason: str) -> str:
    """Return the sentence for the rule that a URL or an address breaks."""
    return _WRONG.get(reason, _WRONG_ADDRESS)
