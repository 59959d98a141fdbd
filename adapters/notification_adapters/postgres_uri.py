"""URIs of PostgreSQL databases as libpq's documentation describes them, section 34.1.

Each of its options is honoured or refused by its name. What is not in it is refused too: the driver
would pass it to the server as a setting.
"""

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote, unquote, urlencode

from attrs import evolve, field, frozen

CONNECT_SECONDS: Final = 5

_URI = re.compile(r"postgresql://(?:([^/?]*)@)?([^@/?]*)(?:/([^?]*))?(?:\?(.*))?", re.DOTALL)
_HOST = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[^:\[\]\s]*)(?::([0-9]{1,5}))?")
_TLS = ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")

# What the driver does with them is what libpq does.
_OF_THE_DRIVER: Final[Mapping[str, tuple[str, ...] | None]] = {
    "gsslib": ("gssapi", "sspi"),
    "krbsrvname": None,
    "options": None,
    "passfile": None,
    "ssl_max_protocol_version": _TLS,
    "ssl_min_protocol_version": _TLS,
    "sslcert": None,
    "sslcrl": None,
    "sslkey": None,
    "sslmode": ("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "sslnegotiation": ("postgres", "direct"),
    "sslpassword": None,
    "sslrootcert": None,
}
# Values that ask for what happens in any case. GSSAPI's encryption and channel binding are unknown
# to the driver, so that to prefer them is to do without.
_WITHOUT_EFFECT: Final[Mapping[str, tuple[str, ...] | None]] = {
    "channel_binding": ("disable", "prefer"),
    "client_encoding": ("UTF8", "utf8", "UTF-8", "utf-8"),
    "fallback_application_name": None,
    "gssdelegation": ("0",),
    "gssencmode": ("disable", "prefer"),
    "load_balance_hosts": ("disable",),
    "max_protocol_version": ("3.0", "latest"),
    "min_protocol_version": ("3.0",),
    "sslcertmode": ("allow",),
    "sslcompression": ("0",),
    "sslsni": ("1",),
}
_OURS: Final[Mapping[str, tuple[str, ...] | None]] = {
    "application_name": None,
    "keepalives": ("0", "1"),
    # A standby takes no writes, and nothing works without them.
    "target_session_attrs": ("any", "read-write", "primary"),
}
_NUMBERS: Final = {
    "connect_timeout": (1, 3600),
    "keepalives_count": (0, 127),
    "keepalives_idle": (0, 32767),
    "keepalives_interval": (0, 32767),
    "tcp_user_timeout": (0, 2**31 - 1),
}
_PARTS: Final = ("host", "port", "user", "password", "dbname")
_REFUSED: Final[Mapping[str, str]] = {
    "hostaddr": "give the address as the host",
    "oauth_client_id": "",
    "oauth_client_secret": "",
    "oauth_issuer": "",
    "oauth_scope": "",
    "replication": "",
    "require_auth": "",
    "requirepeer": "",
    "requiressl": "use sslmode=require",
    "scram_client_key": "give the password",
    "scram_server_key": "give the password",
    "service": "write what the service file says into the URI",
    "servicefile": "write what the service file says into the URI",
    "sslcrldir": "name a file by sslcrl",
    "sslkeylogfile": "",
}
_CHOICES: Final = {**_OF_THE_DRIVER, **_WITHOUT_EFFECT, **_OURS}


@frozen
class KeepAlive:
    """How a server that has become unreachable is noticed; 0 leaves a value to the system.

    ``idle`` and ``interval`` are seconds, ``user_timeout`` is milliseconds.
    """

    on: bool
    idle: int
    interval: int
    count: int
    user_timeout: int


@frozen
class PostgresUri:
    """One database on one or several hosts; all texts but ``hosts`` are decoded."""

    hosts: tuple[str, ...]
    user: str
    password: str = field(repr=False)
    database: str
    options: Mapping[str, str] = field(repr=False)

    def completed(self, *, user: str, password: str, database: str) -> "PostgresUri":
        """Return the same with what it does not say."""
        return evolve(
            self,
            user=self.user or user,
            password=self.password or password,
            database=self.database or database,
        )

    @property
    def place(self) -> str:
        """Where the database is, without a secret, for people."""
        return f"postgresql://{','.join(self.hosts)}/{quote(self.database, safe='')}"

    @property
    def connect_seconds(self) -> int:
        """How long one host may take to answer."""
        return self._number("connect_timeout", CONNECT_SECONDS)

    @property
    def keep_alive(self) -> KeepAlive:
        """What is asked of the system; by default silence is noticed within ten seconds."""
        return KeepAlive(
            on=self.options.get("keepalives", "1") == "1",
            idle=self._number("keepalives_idle", 5),
            interval=self._number("keepalives_interval", 2),
            count=self._number("keepalives_count", 3),
            user_timeout=self._number("tcp_user_timeout", 10_000),
        )

    def driver_uris(self) -> tuple[str, ...]:
        """Return a URI for each host, with the options that the driver knows."""
        options = {name: text for name, text in self.options.items() if name in _OF_THE_DRIVER}
        # Of several hosts one is used that accepts writes.
        default = "read-write" if len(self.hosts) > 1 else "any"
        options["target_session_attrs"] = self.options.get("target_session_attrs", default)
        return tuple(self._text((host,), options) for host in self.hosts)

    def __str__(self) -> str:
        return self._text(self.hosts, self.options)

    def _number(self, name: str, default: int) -> int:
        return int(self.options.get(name, default))

    def _text(self, hosts: tuple[str, ...], options: Mapping[str, str]) -> str:
        user, password, database = (
            quote(part, safe="") for part in (self.user, self.password, self.database)
        )
        query = f"?{urlencode(options, quote_via=quote, safe='/')}" if options else ""
        return f"postgresql://{user}:{password}@{','.join(hosts)}/{database}{query}"


def parse_postgres_uri(text: str) -> PostgresUri:
    """Read a URI; raise ValueError, which repeats no value of it, if an option is not honoured."""
    match = _URI.fullmatch(text)
    if match is None:
        raise ValueError("not postgresql://user:password@host:port/database?option=value")
    credentials, hosts, path, query = (part or "" for part in match.groups())
    options = _options(query)
    given = {name: options.pop(name, "") for name in _PARTS}
    user, _, password = credentials.partition(":")
    return PostgresUri(
        hosts=_hosts(hosts, given["host"], given["port"]),
        user=given["user"] or unquote(user),
        password=given["password"] or unquote(password),
        database=given["dbname"] or unquote(path),
        options=options,
    )


def _options(query: str) -> dict[str, str]:
    options = {}
    for part in query.split("&") if query else ():
        name, equals, encoded = part.partition("=")
        text = unquote(encoded)
        if not equals:
            raise ValueError(f"the option {unquote(name)[:40]!r} has no value")
        if (name, text) == ("ssl", "true"):  # as JDBC has it, and libpq too
            name, text = "sslmode", "require"
        _check(name, text)
        options[name] = text
    return options


def _check(name: str, text: str) -> None:
    if name in _REFUSED:
        advice = f": {_REFUSED[name]}" if _REFUSED[name] else ""
        raise ValueError(f"the option {name} is not supported{advice}")
    if name in _NUMBERS:
        least, most = _NUMBERS[name]
        if not re.fullmatch(r"[0-9]{1,10}", text) or not least <= int(text) <= most:
            raise ValueError(f"{name} must be a whole number from {least} to {most}")
    elif name in _CHOICES:
        choices = _CHOICES[name]
        if choices is not None and text not in choices:
            raise ValueError(f"{name} must be {' or '.join(choices)}: nothing else is supported")
        if name == "sslrootcert" and text == "system":
            raise ValueError("sslrootcert must name a file: 'system' is not supported")
    elif name not in _PARTS:
        raise ValueError(
            f"{unquote(name)[:40]!r} is not an option of a PostgreSQL URI; a setting of the "
            "server is given as options=-c%20name=value"
        )


def _hosts(text: str, names: str, ports: str) -> tuple[str, ...]:
    """Return each host as it stands between @ and /; ``names`` and ``ports`` replace its parts."""
    addresses = [_host(host) for host in text.split(",")]
    chosen = ports.split(",") if ports else [port for _, port in addresses]
    hosts = [name for name, _ in addresses]
    if names:
        # A host, a folder of sockets or an address, as it stands in a URI.
        given = names.split(",")
        hosts = [f"[{name}]" if ":" in name else quote(name, safe="") for name in given]
    if len(chosen) == 1:
        chosen *= len(hosts)
    if len(chosen) != len(hosts):
        raise ValueError("there must be one port, or one for each host")
    if len(hosts) > 1 and not all(hosts):
        raise ValueError("a host of the list is empty")
    for port in filter(None, chosen):
        if not re.fullmatch(r"[0-9]{1,5}", port) or not 0 < int(port) < 2**16:
            raise ValueError("a port must be a whole number from 1 to 65535")
    pairs = zip(hosts, chosen, strict=True)
    return tuple(f"{host}:{port}" if port else host for host, port in pairs)


def _host(text: str) -> tuple[str, str]:
    match = _HOST.fullmatch(text)
    if match is None:
        raise ValueError("a host must be name, name:port or [address]:port")
    return match[1], match[2] or ""
