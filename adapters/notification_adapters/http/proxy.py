"""A proxy that all requests leave through, which checks addresses instead of this system."""

import re
from base64 import b64encode
from urllib.parse import unquote

from attrs import field, frozen

from notification_core.model.destinations import DestinationPolicy, parse_networks

ANYWHERE = DestinationPolicy(allowed_networks=parse_networks("0.0.0.0/0,::/0"))
"""What may be connected to where all of it is the operator's own proxy."""

PROXY_AUTHENTICATION_REQUIRED = 407

_FORM = re.compile(
    r"http://(?:(?P<user>[^\s/?#@:]+):(?P<password>[^\s/?#@]*)@)?"
    r"(?P<host>\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z_.-]+):(?P<port>[1-9][0-9]{0,4})/?",
    re.ASCII,
)
_HIGHEST_PORT = 65535


@frozen
class EgressProxy:
    """Where the proxy is, a name or an address without brackets, and what opens it.

    ``authorization`` is the value of Proxy-Authorization (RFC 9110, section 11.7.2).
    """

    host: str
    port: int
    authorization: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        """Write it as a URL, without what opens it."""
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


def parse_proxy(url: str) -> EgressProxy:
    """Return the proxy at ``http://host:port`` or ``http://user:password@host:port``.

    Raises ``ValueError`` where it is written in another way.
    """
    form = _FORM.fullmatch(url)
    if form is None or int(form["port"]) > _HIGHEST_PORT:
        raise ValueError
    authorization = None
    if form["user"] is not None:
        credentials = f"{unquote(form['user'])}:{unquote(form['password'])}"
        authorization = f"Basic {b64encode(credentials.encode()).decode()}"
    return EgressProxy(form["host"].strip("[]"), int(form["port"]), authorization)
