"""How the values of variables are parsed, and what each parser accepts."""

# ruff: noqa: N802, D103 - a function decorated as a parser is a constant; its words describe it

import re
from collections.abc import Callable
from datetime import timedelta
from enum import StrEnum
from ipaddress import ip_address
from pathlib import Path
from typing import Generic, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from attrs import field, frozen

from notification_adapters.http.proxy import parse_proxy
from notification_adapters.postgres_uri import parse_postgres_uri
from notification_core.model.destinations import parse_hosts, parse_networks
from notification_core.model.durations import MAX_DURATION, format_duration, parse_duration
from notification_core.model.event_types import EventCatalogue
from notification_core.model.nat64 import parse_nat64_prefixes

T = TypeVar("T")
E = TypeVar("E", bound=StrEnum)

_HOST = r"\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z_](?:[0-9A-Za-z_.-]*[0-9A-Za-z_])?"
_HOST_AND_PORT = re.compile(rf"(?:{_HOST}):([0-9]{{1,5}})")
_ORIGIN = re.compile(rf"https?://(?:{_HOST})(?::[0-9]{{1,5}})?")
_MAX_LOGO_BYTES = 64 * 1024
_LOGO_TYPES = {".svg": "image/svg+xml", ".png": "image/png", ".webp": "image/webp"}
_SOURCE = re.compile(r"https?://(?:\*\.)?[A-Za-z0-9.-]+(?::[0-9]{1,5})?")
_PRINTABLE = r"[^\x00-\x1f\x7f\ud800-\udfff]"
_SECRET_LENGTH = 32
_WRAPPED = re.compile(r"vault:v[0-9]{1,9}:[A-Za-z0-9+/]{40,2000}={0,2}")


class Authentication(StrEnum):
    """How the API tells who is calling."""

    NONE = "none"
    API_KEY = "api_key"
    JWT = "jwt"


class JwtAlgorithm(StrEnum):
    """What a token may be signed with: by a key that its issuer publishes half of."""

    RS256 = "RS256"
    RS384 = "RS384"
    RS512 = "RS512"
    PS256 = "PS256"
    PS384 = "PS384"
    PS512 = "PS512"
    ES256 = "ES256"
    ES384 = "ES384"
    ES512 = "ES512"
    EDDSA = "EdDSA"


class EventValidation(StrEnum):
    """What happens to events whose data does not fit the schema of their type."""

    COUNT = "count"
    REJECT = "reject"


class Sender(StrEnum):
    """What sends the requests."""

    AUTO = "auto"
    AIOHTTP = "aiohttp"
    NATIVE = "native"


@frozen
class Logo:
    """A picture, with where it was read from."""

    path: str
    content: bytes = field(repr=False)
    content_type: str

    def __str__(self) -> str:
        """Return what the variable says."""
        return self.path


def is_loopback(host: str) -> bool:
    """Tell whether only this host can reach a server that listens on ``host``."""
    try:
        address = ip_address(host)
    except ValueError:
        return host.lower() == "localhost"
    # Python 3.13 calls a mapped 127.0.0.1 loopback, 3.11 does not: here it never is.
    return address.is_loopback and getattr(address, "ipv4_mapped", None) is None


@frozen
class Parser(Generic[T]):
    """How a variable's text is read, and in words what is accepted.

    ``parse`` raises ValueError, with a reason where ``accepts`` does not say it all.
    """

    parse: Callable[[str], T]
    accepts: str


def whole(least: int, most: int) -> Parser[int]:
    """Return a parser of whole numbers from ``least`` to ``most``."""

    def parse(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,18}", text) or not least <= int(text) <= most:
            raise ValueError
        return int(text)

    return Parser(parse, f"a whole number from {least} to {most}")


def decimal(least: int, most: int) -> Parser[float]:
    """Return a parser of numbers from ``least`` to ``most``, such as 1.5."""

    def parse(text: str) -> float:
        if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text) or not least <= float(text) <= most:
            raise ValueError
        return float(text)

    return Parser(parse, f"a number from {least} to {most}")


def duration(least: timedelta, most: timedelta = MAX_DURATION) -> Parser[timedelta]:
    """Return a parser of durations of at least ``least`` and at most ``most``."""

    def parse(text: str) -> timedelta:
        if not least <= (parsed := parse_duration(text)) <= most:
            raise ValueError
        return parsed

    at_most = "" if most == MAX_DURATION else f" and at most {format_duration(most)}"
    return Parser(parse, f"a duration of at least {format_duration(least)}{at_most}")


def one_of(choices: type[E]) -> Parser[E]:
    """Return a parser that takes the members of an enumeration."""

    def parse(text: str) -> E:
        if text not in list(choices):
            raise ValueError
        return choices(text)

    return Parser(parse, " or ".join(choices))


def several_of(choices: type[E]) -> Parser[tuple[E, ...]]:
    """Return a parser that takes some members of an enumeration, each of them once."""

    def parse(text: str) -> tuple[E, ...]:
        names = [name.strip() for name in text.split(",")]
        if len(set(names)) < len(names):
            raise ValueError
        return tuple(one_of(choices).parse(name) for name in names)

    return Parser(parse, f"a comma list of {', '.join(choices)}")


def optional(parser: Parser[T]) -> Parser[T | None]:
    """Return a parser that takes an empty value as well, for none."""
    return Parser(
        lambda text: parser.parse(text) if text else None, f"{parser.accepts}, or empty for none"
    )


def _matching(pattern: str, accepts: str) -> Parser[str]:
    def parse(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError
        return text

    return Parser(parse, accepts)


def accepts(words: str) -> Callable[[Callable[[str], T]], Parser[T]]:
    """Make a parser of a function; ``words`` say what it accepts."""
    return lambda parse: Parser(parse, words)


TEXT = _matching(rf"{_PRINTABLE}*", "text without control characters")
SOME_TEXT = _matching(rf"{_PRINTABLE}+", "text without control characters, and not empty")
PORT = whole(0, 65535)
DELAY = duration(timedelta(0))
SHUTDOWN_DELAY = duration(timedelta(0), timedelta(seconds=10))
TIME = duration(timedelta(milliseconds=1))


@accepts("true or false")
def TRUTH(text: str) -> bool:
    if text not in {"true", "1", "false", "0"}:
        raise ValueError
    return text in {"true", "1"}


@accepts("an IP address")
def ADDRESS(text: str) -> str:
    try:
        ip_address(text)
    except ValueError:
        raise ValueError from None
    return text


@accepts("an IP address or a host name")
def BIND_HOST(text: str) -> str:
    """Take an address or a name; a resolver takes a name that ends in a number for an address."""
    if re.fullmatch(_HOST, text) and text[0] != "[" and not text.rpartition(".")[2].isdigit():
        return text
    return ADDRESS.parse(text)


@accepts("host:port")
def HOST_AND_PORT(text: str) -> str:
    match = _HOST_AND_PORT.fullmatch(text)
    if match is None or not 0 < int(match[1]) < 2**16:
        raise ValueError
    return text


@accepts("the path of a file, or empty")
def LOCATION(text: str) -> Path | None:
    return Path(TEXT.parse(text)) if text else None


@accepts("the id of an environment (a UUID), or empty")
def ENVIRONMENT_ID(text: str) -> UUID | None:
    return UUID(text) if text else None


@accepts("the path of an event catalogue (OpenAPI 3.1 in JSON or YAML), or empty")
def CATALOGUE(text: str) -> EventCatalogue:
    from notification_adapters.event_formats import catalogue  # noqa: PLC0415 - slow to import, and commands that call a server read none

    return (
        catalogue.read_catalogue(Path(TEXT.parse(text))) if text else catalogue.default_catalogue()
    )


@accepts("host:port, postgresql://…")
def DATABASE_SERVER(text: str) -> str:
    if re.fullmatch(r"postgresql://\S+", text):
        parse_postgres_uri(text)
        return text
    return ",".join(map(HOST_AND_PORT.parse, text.split(",")))


@accepts("host:port, postgresql://… or sqlite:///file")
def DATABASE(text: str) -> str:
    return text if re.fullmatch(r"sqlite:///.+", text) else DATABASE_SERVER.parse(text)


@accepts(f"{DATABASE_SERVER.accepts}, or empty")
def DIRECT_SERVER(text: str) -> str | None:
    return DATABASE_SERVER.parse(text) if text else None


@accepts("at most 63 of a-z, 0-9 and '_', not beginning with 'pg_', or empty")
def SCHEMA(text: str) -> str | None:
    if not re.fullmatch(r"([a-z_][a-z0-9_]{0,62})?", text) or text.startswith("pg_"):
        raise ValueError
    return text or None


@accepts("a comma list of host:port, or empty for no Kafka")
def BROKERS(text: str) -> tuple[str, ...]:
    return tuple(HOST_AND_PORT.parse(part.strip()) for part in text.split(",")) if text else ()


@accepts("a comma list of origins such as https://console.example.com, or *")
def ORIGINS(text: str) -> tuple[str, ...]:
    origins = tuple(part.strip() for part in text.split(",")) if text else ()
    if not all(origin == "*" or _ORIGIN.fullmatch(origin) for origin in origins):
        raise ValueError
    return origins


@accepts("the origin of a URL, such as https://notify.example.com, or empty")
def ORIGIN(text: str) -> str | None:
    if text and ("*" in text or not _SOURCE.fullmatch(text)):
        raise ValueError
    return text or None


@accepts("a comma list of origins such as https://app.example.com or https://*.example.com")
def FRAME_ANCESTORS(text: str) -> tuple[str, ...]:
    sources = tuple(part.strip() for part in text.split(",")) if text else ()
    # They are written into a header: nothing but an origin may be among them.
    if not all(map(_SOURCE.fullmatch, sources)):
        raise ValueError
    return sources


@accepts("a colour as #rrggbb, or empty")
def COLOR(text: str) -> str | None:
    if text and not re.fullmatch("#[0-9A-Fa-f]{6}", text):
        raise ValueError
    return text.lower() or None


@accepts(f"the path of an SVG, PNG or WebP file of at most {_MAX_LOGO_BYTES // 1024} KiB, or empty")
def LOGO(text: str) -> Logo | None:
    if not text:
        return None
    path = Path(TEXT.parse(text))
    content_type = _LOGO_TYPES.get(path.suffix.lower())
    if content_type is None:
        raise ValueError("its name ends otherwise")
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_LOGO_BYTES + 1)
    except OSError as error:
        raise ValueError(f"it cannot be read: {error.strerror}") from None
    if len(content) > _MAX_LOGO_BYTES:
        raise ValueError("it is larger")
    return Logo(text, content, content_type)


@accepts("an http or https URL without a query, or empty for no check")
def BASE_URL(text: str) -> str | None:
    if text and not re.fullmatch(r"https?://[^\s/?#]+(/[^\s?#]*)?", text):
        raise ValueError
    return text.rstrip("/") or None


@accepts("a time zone such as America/Montreal or UTC")
def ZONE(text: str) -> ZoneInfo:
    try:
        return ZoneInfo(text)
    except (ZoneInfoNotFoundError, OSError, ValueError):
        raise ValueError from None


def is_plain_secret(text: str) -> bool:
    """Tell whether a text can be an encryption secret itself."""
    # A variable that is not UTF-8 reaches us with surrogates in it.
    return len(text) == _SECRET_LENGTH and not re.search(r"[\ud800-\udfff]", text)


def is_wrapped(text: str) -> bool:
    """Tell whether a text is a secret that Vault has wrapped."""
    return _WRAPPED.fullmatch(text) is not None


@accepts("exactly 32 characters, or what Vault made of them (vault:v1:…)")
def SECRET(text: str) -> str:
    if not is_plain_secret(text) and not is_wrapped(text):
        raise ValueError
    return text


@accepts("a comma list of secrets of exactly 32 characters, or wrapped by Vault")
def SECRETS(text: str) -> tuple[str, ...]:
    """Cut by length, so that a secret may hold a comma; a wrapped one holds none."""
    entries, rest = [], f"{text}," if text else ""
    while rest:
        wrapped = _WRAPPED.match(rest)
        end = wrapped.end() if wrapped else _SECRET_LENGTH
        if rest[end : end + 1] != ",":
            raise ValueError
        entries.append(SECRET.parse(rest[:end]))
        rest = rest[end + 1 :]
    return tuple(entries)


HEADER = _matching(r"[0-9A-Za-z!#$%&'*+.^_`|~-]{1,100}", "the name of an HTTP header")
TOPIC_PREFIX = _matching(r"[0-9A-Za-z._-]{0,200}", "at most 200 letters, digits, '.', '_' and '-'")


@accepts("a comma list of topics, each once: at most 200 letters, digits, '.', '_' and '-'")
def TOPICS(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    if len(set(names)) < len(names) or not all(
        re.fullmatch(r"[0-9A-Za-z._-]{1,200}", name) and name.strip(".") for name in names
    ):
        raise ValueError
    return names


URL = _matching(r"|https?://[^\s/?#]+(/[^\s#]*)?", "an http or https URL, or empty for none")
PROXY = Parser(parse_proxy, "http://host:port or http://user:password@host:port")
BOOTSTRAP_KEY = _matching(
    r"|[A-Za-z0-9._~+/=-]{32,200}",
    "32 to 200 letters, digits and ._~+/=-, or empty for none",
)
VAULT_KEY = _matching(r"[0-9A-Za-z._-]{1,200}", "at most 200 letters, digits, '.', '_' and '-'")
TOKEN = _matching(r"[!-~]{0,8000}", "visible ASCII without spaces, or empty for none")
NETWORKS = Parser(parse_networks, "a comma list of networks such as 10.0.0.0/8")
NAT64_PREFIXES = Parser(
    parse_nat64_prefixes, "a comma list of IPv6 prefixes such as 2001:db8:64::/96, or empty"
)
HOSTS = Parser(parse_hosts, "a comma list of host names such as example.internal or *.internal")
