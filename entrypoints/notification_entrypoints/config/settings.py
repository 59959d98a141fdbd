"""The settings: environment variables, read once into one frozen value.

A field's name is its variable's in lower case; its metadata say how the text is read, what stands
for a variable that is not set, and what it means. An empty value is a value.
"""

# ruff: noqa: RUF009 - the calls in the class body make attrs fields, as attrs.field() does

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from enum import StrEnum
from ipaddress import IPv6Network, ip_address
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from attrs import Factory, field, fields, frozen

from notification_adapters.http.proxy import EgressProxy
from notification_adapters.kafka.config import SaslMechanism, SecurityProtocol, Start
from notification_core.errors import Detail, InvalidSettings
from notification_core.model.custom_headers import MASK
from notification_core.model.destinations import DestinationPolicy, Network
from notification_core.model.message import Topics
from notification_core.model.nat64 import WELL_KNOWN_PREFIX
from notification_core.signing.signatures import SignatureHeaders
from notification_entrypoints.config import parsers
from notification_entrypoints.config.durations import format_duration
from notification_entrypoints.config.parsers import Parser
from notification_entrypoints.config.secret_files import file_variable, read_secret_files

T = TypeVar("T")

_NO_DEFAULTS: Mapping[str, str] = MappingProxyType({})
_SHOWN_LENGTH = 200
_SENT_ANYWAY = frozenset(
    {"accept-encoding", "connection", "content-length", "content-type"}
    | {"host", "transfer-encoding", "user-agent"}
)
_SIGNATURE = "WEBHOOKS_PUBLIC_VERIFICATION_KEY_SIGNATURE_HEADER"
_TIMESTAMP = "WEBHOOKS_PUBLIC_VERIFICATION_KEY_SIGNATURE_TIMESTAMP_HEADER"


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


class Sender(StrEnum):
    """What sends the requests."""

    AUTO = "auto"
    AIOHTTP = "aiohttp"
    NATIVE = "native"


@frozen
class Variable:
    """What is known of a variable; ``default`` is None where it must be set."""

    kind: Parser[Any]
    default: str | None
    meaning: str
    secret: bool = False

    def show(self, value: object) -> str:
        """Return a value as text that may be printed."""
        return MASK if self.secret and value else _masked(_written(value))[:_SHOWN_LENGTH]

    def refusal(self, name: str, text: str, error: ValueError) -> Detail:
        """Say what is wrong with a value, and what would be right."""
        if self.secret:
            return Detail(name, f"{name} must be set to {self.kind.accepts}")
        reason = f" ({str(error).rstrip('.')})" if str(error) else ""
        shown = self.show(text)
        if name.endswith("_PORT") and re.fullmatch(r"(tcp|udp|sctp)://.*", text):
            service = name.removesuffix("_PORT").lower().replace("_", "-")
            reason = (
                f". Kubernetes sets it for a Service that is called {service}: turn that off by "
                f"enableServiceLinks: false in the pod's spec, or set {name} in the container's env"
            )
        return Detail(name, f"{name} is {shown!r}, but must be {self.kind.accepts}{reason}")


def _masked(text: str) -> str:
    """Hide where credentials stand in a URI, and in what was meant to be one."""
    text = re.sub(r"^([a-z+]+://)?.*@", rf"\1{MASK}@", text, flags=re.DOTALL)
    before, parameter, _ = text.partition("=")
    return f"{before}={MASK}" if parameter else text


def _written(value: object) -> str:
    """Return a value as it would be written in a variable."""
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case timedelta():
            return format_duration(value)
        case tuple():
            return ",".join(_written(item) for item in value)
        case _:
            return str(value)


def _setting(kind: Parser[T], default: str, meaning: str, *, secret: bool = False) -> T:
    """Make a field whose value is read from ``default`` where its variable is not set."""
    known = Variable(kind, default, meaning, secret)
    return field(factory=lambda: kind.parse(default), metadata={"variable": known}, repr=known.show)


def _derived(kind: Parser[Any], default: str, meaning: str, value: Callable[["Settings"], T]) -> T:
    """Make a field whose default follows from fields above it; ``default`` says how."""
    known = Variable(kind, default, meaning)
    made: T = field(
        default=Factory(value, takes_self=True), metadata={"variable": known}, repr=known.show
    )
    return made


def _required_secret(kind: Parser[T], meaning: str) -> T:
    """Make a field whose variable must be set."""
    known = Variable(kind, None, meaning, secret=True)
    made: T = field(metadata={"variable": known}, repr=known.show)
    return made


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach a server that listens on ``host``."""
    try:
        address = ip_address(host)
    except ValueError:
        return host.lower() == "localhost"
    # Python 3.13 calls a mapped 127.0.0.1 loopback, 3.11 does not: here it never is.
    return address.is_loopback and getattr(address, "ipv4_mapped", None) is None


def _authentication_on(host: str) -> tuple[Authentication, ...]:
    """Return what needs no saying on this bind: on loopback only, nobody else can call."""
    return (Authentication.NONE,) if is_loopback(host) else ()


@frozen(kw_only=True)
class Settings:
    """All settings, checked; secrets are masked in its repr."""

    env: str = _setting(parsers.TEXT, "development", "The name of the deployment, shown by /info.")
    debug: bool = _setting(
        parsers.TRUTH,
        "false",
        "Log more; show administrators the cause of errors, and serve /debug/ to them and on "
        "loopback.",
    )
    tz: ZoneInfo = _setting(
        parsers.ZONE,
        "America/Montreal",
        "The zone of log timestamps and of dates without an offset.",
    )
    pod_ip: str = _setting(
        parsers.ADDRESS, "127.0.0.1", "The address of this instance, which its servers listen on."
    )
    pod_name: str = _setting(
        parsers.TEXT,
        "localhost",
        "The name of this instance, in logs, metrics and /info and to a PostgreSQL server.",
    )

    startup_timeout: timedelta = _derived(
        parsers.DELAY,
        "0s if ENV is development, else 5m",
        "How long a server waits at its start for a database or a Vault that is unreachable, "
        "before it exits.",
        lambda self: timedelta(0) if self.is_development else timedelta(minutes=5),
    )
    shutdown_delay: timedelta = _derived(
        parsers.SHUTDOWN_DELAY,
        "0s if ENV is development, else 5s",
        "How long the API still accepts requests after SIGTERM, so that load balancers see that "
        "`/readyz` fails before connections are refused.",
        lambda self: timedelta(0) if self.is_development else timedelta(seconds=5),
    )
    api_server_host: str = _derived(
        parsers.BIND_HOST, "POD_IP", "What the API server listens on.", lambda self: self.pod_ip
    )
    api_server_port: int = _setting(
        parsers.PORT, "3615", "The API server's port; 0 takes a free one."
    )
    api_server_read_timeout: timedelta = _setting(
        parsers.TIME, "5s", "How long the API server waits for a request to arrive whole."
    )
    api_server_write_timeout: timedelta = _setting(
        parsers.TIME, "10s", "How long an answer of the API server may take."
    )
    api_server_max_buffered: int = _setting(
        parsers.whole(16 * 1024 * 1024, 2**40),
        "67108864",
        "How many bytes the bodies of all unfinished requests may have together, in each process.",
    )
    api_server_max_connections: int | None = _setting(
        parsers.optional(parsers.whole(1, 1_000_000)),
        "",
        "The most connections to the API server, in each process, where an idle one makes room for "
        "a new one; empty for what the limit of open files leaves, at most 10000.",
    )
    api_auth: tuple[Authentication, ...] = _derived(
        parsers.several_of(Authentication),
        "none on a loopback address",
        "How callers of the API prove who they are.",
        lambda self: _authentication_on(self.api_server_host),
    )
    api_bootstrap_key: str = _setting(
        parsers.BOOTSTRAP_KEY, "", "A key that may do everything, to make others with.", secret=True
    )
    api_jwt_issuer: str = _setting(
        parsers.TEXT, "", "The issuer whose tokens are accepted, as their iss says it."
    )
    api_jwt_audience: str = _setting(
        parsers.TEXT, "", "What tokens for this API have in their aud."
    )
    api_jwt_jwks_url: str = _setting(
        parsers.URL, "", "Where the issuer publishes its keys, as a JSON Web Key Set."
    )
    api_jwt_algorithms: tuple[JwtAlgorithm, ...] = _setting(
        parsers.several_of(JwtAlgorithm), "RS256,ES256,EdDSA", "What tokens may be signed with."
    )
    api_jwt_scope_claim: str = _setting(
        parsers.SOME_TEXT, "scope", "The claim that holds read, write or admin, among other words."
    )
    api_jwt_environments_claim: str = _setting(
        parsers.SOME_TEXT, "environments", "The claim that lists the environments' ids, or is all."
    )
    api_trusted_proxies: tuple[Network, ...] = _setting(
        parsers.NETWORKS,
        "",
        "Where proxies are that are believed when they say whom they speak for.",
    )
    api_cors_origins: tuple[str, ...] = _setting(
        parsers.ORIGINS, "", "The origins of pages that may call the API from a browser."
    )
    api_rate_limit: int | None = _setting(
        parsers.optional(parsers.whole(1, 1_000_000)),
        "",
        "The most requests a second of one caller, in each process.",
    )
    ops_server_host: str = _derived(
        parsers.BIND_HOST, "POD_IP", "What the ops server listens on.", lambda self: self.pod_ip
    )
    ops_server_port: int = _setting(
        parsers.PORT, "3616", "The ops server's port; 0 takes a free one."
    )
    ops_server_read_timeout: timedelta = _setting(
        parsers.TIME, "5s", "How long the ops server waits for a request to arrive whole."
    )
    ops_server_write_timeout: timedelta = _setting(
        parsers.TIME, "10s", "How long an answer of the ops server may take."
    )

    db_uri: str = _setting(
        parsers.DATABASE,
        "localhost:5432",
        "Where the database is; a `postgresql://` URI may name several hosts and hold libpq's "
        "options (`sslmode`, `connect_timeout` …), and what it does not say is taken from the "
        "variables below.",
    )
    db_auth_user: str = _setting(parsers.TEXT, "postgres", "The database server's user.")
    db_auth_pass: str = _setting(parsers.TEXT, "", "The user's password.", secret=True)
    db_database: str = _setting(
        parsers.SOME_TEXT, "notificationmanagement", "The database's name on its server."
    )
    db_schema: str | None = _setting(
        parsers.SCHEMA,
        "",
        "The schema of the server's database that all tables are in, made where it is missing; "
        "empty for the user's own.",
    )
    db_direct_uri: str | None = _setting(
        parsers.DIRECT_SERVER,
        "",
        "Where the server itself is, if DB_URI names a pooler that hands a connection to another "
        "client after each transaction: for what lasts longer than one.",
    )
    db_prepared_statements: bool = _setting(
        parsers.TRUTH,
        "true",
        "Whether statements stay prepared on a connection; false behind such a pooler.",
    )
    db_encryption_secret: str = _required_secret(
        parsers.SECRET, "What private keys and values of custom headers are encrypted with."
    )
    db_encryption_previous_secrets: tuple[str, ...] = _setting(
        parsers.SECRETS, "", "Former encryption secrets, which still decrypt.", secret=True
    )
    db_encryption_vault_uri: str = _setting(
        parsers.URL,
        "",
        "Where Vault's transit engine is mounted, as `https://vault.example.com:8200/v1/transit`, "
        "if encryption secrets are wrapped by it; asked at the start only.",
    )
    db_encryption_vault_key: str = _setting(
        parsers.VAULT_KEY, "notification-management", "The key of Vault's that unwraps them."
    )
    db_encryption_vault_token: str = _setting(
        parsers.TOKEN,
        "",
        "The token that Vault is shown; empty where an agent adds it.",
        secret=True,
    )
    db_encryption_vault_ca_file: Path | None = _setting(
        parsers.LOCATION,
        "",
        "A PEM file of who is trusted to vouch for Vault; empty for whom this machine trusts.",
    )
    db_pool_size: int = _setting(
        parsers.whole(1, 1000),
        "10",
        "The most connections to a database server, those included whose commit was given up and "
        "has not finished; a dispatcher needs one more, and so does looking for such commits.",
    )
    retention_logs: timedelta = _setting(
        parsers.TIME, "720h", "How long the log of attempts is kept."
    )
    retention_audit: timedelta = _setting(
        parsers.TIME, "8760h", "How long it is kept who changed what."
    )
    retention_events: timedelta = _setting(
        parsers.TIME,
        "720h",
        "How long events are kept and known again, with their deliveries, unless one still waits, "
        "and dead letters; "
        "what waits for a disabled webhook expires after it.",
    )

    kafka_brokers: tuple[str, ...] = _setting(
        parsers.BROKERS, "localhost:9092", "The Kafka brokers to begin with; empty for no Kafka."
    )
    kafka_consumer_fetch_bytes: int = _setting(
        parsers.whole(1, 2**31 - 1),
        "1048576",
        "How many bytes a fetch waits for (fetch.min.bytes).",
    )
    kafka_consumer_fetch_frequency: timedelta = _setting(
        parsers.TIME,
        "250ms",
        "How long a fetch waits for them at most (fetch.max.wait); a lone message waits that long, "
        "unless KAFKA_CONSUMER_FETCH_BYTES is 1.",
    )
    kafka_consumer_start: Start = _setting(
        parsers.one_of(Start), "earliest", "Where a group begins that has never consumed."
    )
    kafka_topic_prefix: str = _setting(
        parsers.TOPIC_PREFIX, "", "What all names of topics begin with."
    )
    kafka_topic_replication_factor: int = _setting(
        parsers.whole(1, 2**15 - 1), "1", "The replication factor of topics that are created."
    )
    kafka_security_protocol: SecurityProtocol = _setting(
        parsers.one_of(SecurityProtocol), "PLAINTEXT", "How connections to Kafka are protected."
    )
    kafka_sasl_mechanism: SaslMechanism = _setting(
        parsers.one_of(SaslMechanism), "PLAIN", "How the password is shown to a SASL protocol."
    )
    kafka_sasl_username: str = _setting(parsers.TEXT, "", "The user of a SASL protocol.")
    kafka_sasl_password: str = _setting(
        parsers.TEXT, "", "The password of a SASL protocol.", secret=True
    )
    kafka_ssl_ca_location: Path | None = _setting(
        parsers.LOCATION,
        "",
        "A PEM file of who is trusted to vouch for brokers; empty for whom this machine trusts.",
    )
    kafka_ssl_certificate_location: Path | None = _setting(
        parsers.LOCATION,
        "",
        "A PEM file of the client's own certificate, where brokers ask for one.",
    )
    kafka_ssl_key_location: Path | None = _setting(
        parsers.LOCATION, "", "A PEM file of that certificate's key; empty where it is in the same."
    )
    kafka_ssl_key_password: str = _setting(
        parsers.TEXT, "", "The password of that key.", secret=True
    )
    project_management_api_uri: str | None = _setting(
        parsers.BASE_URL,
        "http://localhost:8101/api",
        "Who knows the environments; empty for no check.",
    )

    webhooks_max_retries: int = _setting(
        parsers.whole(0, 1_000_000), "3", "How many times a delivery is tried again."
    )
    webhooks_retry_interval: timedelta = _setting(
        parsers.DELAY, "1s", "How long after a failed attempt the next one is made."
    )
    webhooks_retry_backoff: float = _setting(
        parsers.decimal(1, 100),
        "1",
        "What the interval is multiplied by with each further failure.",
    )
    webhooks_retry_after_max: timedelta = _setting(
        parsers.DELAY, "1h", "The longest wait that a receiver's Retry-After can ask for."
    )
    webhooks_write_timeout: timedelta = _setting(
        parsers.TIME,
        "10s",
        "How long an attempt may take, from the name's look-up to the last byte.",
    )
    webhooks_lease: timedelta = _derived(
        parsers.TIME,
        "3 times WEBHOOKS_WRITE_TIMEOUT",
        "How long a worker holds a delivery before another may take it.",
        lambda self: 3 * self.webhooks_write_timeout,
    )
    webhooks_poll_interval: timedelta = _setting(
        parsers.TIME,
        "1s",
        "How often the storage is asked for work and changes that nobody told of.",
    )
    webhooks_max_in_flight: int = _setting(
        parsers.whole(2, 100_000), "512", "The most attempts at the same time in a process."
    )
    webhooks_max_in_flight_per_webhook: int = _setting(
        parsers.whole(1, 100_000), "64", "The most attempts at the same time of one webhook."
    )
    webhooks_max_pending_per_webhook: int = _setting(
        parsers.whole(1, 1_000_000_000),
        "1000000",
        "How many deliveries may wait for one webhook, about; what comes then is skipped.",
    )
    webhooks_disable_after: timedelta = _setting(
        parsers.TIME, "120h", "A webhook that has only failed for this long is disabled."
    )
    webhooks_max_per_environment: int = _setting(
        parsers.whole(1, 20_000), "1000", "The most webhooks that an environment may have."
    )
    webhooks_sender: Sender = _setting(
        parsers.one_of(Sender),
        "auto",
        "The HTTP client that sends the requests; auto takes native where httptools is installed.",
    )
    webhooks_standard_signature: bool = _setting(
        parsers.TRUTH,
        "true",
        "Whether requests are signed by the Standard Webhooks scheme as well.",
    )
    webhooks_public_verification_key_signature_header: str = _setting(
        parsers.HEADER, "X-3dverse-Signature", "The header of a request's signature."
    )
    webhooks_public_verification_key_signature_timestamp_header: str = _setting(
        parsers.HEADER, "X-3dverse-Signature-Timestamp", "The header of the time that is signed."
    )
    webhooks_allowed_networks: tuple[Network, ...] = _setting(
        parsers.NETWORKS, "", "Networks that webhooks may reach although they are not public."
    )
    webhooks_allowed_hosts: tuple[str, ...] = _setting(
        parsers.HOSTS, "", "Names that webhooks may reach although they are not public."
    )
    webhooks_nat64_prefixes: tuple[IPv6Network, ...] = _setting(
        parsers.NAT64_PREFIXES,
        "",
        "Prefixes of NAT64 beside 64:ff9b::/96: an address within one that a name leads to is "
        "checked by the IPv4 address inside it.",
    )
    webhooks_require_https: bool = _setting(
        parsers.TRUTH, "false", "Whether webhooks with a plain http URL are refused."
    )
    webhooks_egress_proxy: EgressProxy | None = _setting(
        parsers.optional(parsers.PROXY),
        "",
        "The proxy that all requests to receivers leave through, which then decides what addresses "
        "they may reach.",
        secret=True,
    )
    webhooks_ca_file: Path | None = _setting(
        parsers.LOCATION,
        "",
        "A PEM file of who is trusted to vouch for receivers; empty for whom this machine trusts.",
    )

    @property
    def is_development(self) -> bool:
        """Tell whether this runs on a developer's machine, which nobody wants to wait for."""
        return self.env == "development"

    @property
    def encryption_secrets(self) -> tuple[str, ...]:
        """The present encryption secret and the former ones, as they are configured."""
        return self.db_encryption_secret, *self.db_encryption_previous_secrets

    @property
    def topics(self) -> Topics | None:
        """How the topics are called; None where there is no Kafka."""
        return Topics(self.kafka_topic_prefix) if self.kafka_brokers else None

    @property
    def destinations(self) -> DestinationPolicy:
        """Where webhooks may be sent."""
        return DestinationPolicy(
            allowed_networks=self.webhooks_allowed_networks,
            allowed_hosts=self.webhooks_allowed_hosts,
            require_https=self.webhooks_require_https,
            nat64_prefixes=(WELL_KNOWN_PREFIX, *self.webhooks_nat64_prefixes),
        )

    @property
    def signature_headers(self) -> SignatureHeaders:
        """How the headers of the signatures are called."""
        return SignatureHeaders(
            signature=self.webhooks_public_verification_key_signature_header,
            timestamp=self.webhooks_public_verification_key_signature_timestamp_header,
            standard=self.webhooks_standard_signature,
        )


def variables() -> Mapping[str, Variable]:
    """Return what is known of each variable, by its name."""
    return {each.name.upper(): each.metadata["variable"] for each in fields(Settings)}


def _secrets() -> Iterator[str]:
    return (name for name, variable in variables().items() if variable.secret)


def load_settings(
    environ: Mapping[str, str], defaults: Mapping[str, str] = _NO_DEFAULTS
) -> Settings:
    """Read the settings; ``defaults`` stand for variables that are not set at all.

    Raises :class:`InvalidSettings`, which tells everything that is wrong at once.
    """
    files = read_secret_files(environ, _secrets())
    given = {**defaults, **environ, **files.texts}
    values: dict[str, Any] = {}
    problems = list(files.problems)
    complained = {detail.field for detail in problems}
    for name, variable in variables().items():
        if file_variable(name) in complained or (
            name not in given and variable.default is not None
        ):
            continue
        text = given.get(name, "")
        try:
            values[name.lower()] = variable.kind.parse(text)
        except ValueError as error:
            problems.append(variable.refusal(name, text, error))
    _refuse(problems)
    settings = Settings(**values)
    _refuse(list(_contradictions(settings)))
    return settings


def check_exposure(settings: Settings) -> None:
    """Refuse an API that everybody on a network could call because nobody said how to protect it.

    Raises :class:`InvalidSettings`, which names the variable.
    """
    if not settings.api_auth:
        accepted = variables()["API_AUTH"].kind.accepts
        problem = (
            f"API_AUTH must be set, because the API would listen on {settings.api_server_host}, "
            f"which is not a loopback address; accepted is {accepted}"
        )
        _refuse([Detail("API_AUTH", problem)])


def _refuse(problems: Sequence[Detail]) -> None:
    if problems:
        told = "; ".join(problem.message for problem in problems)
        raise InvalidSettings(f"The settings are refused: {told}.", problems)


def _contradictions(settings: Settings) -> Iterator[Detail]:
    """Yield what is wrong with settings that are right each on its own."""
    if settings.webhooks_lease <= settings.webhooks_write_timeout:
        written = format_duration(settings.webhooks_lease)
        problem = f"WEBHOOKS_LEASE is {written!r}, but must be longer than WEBHOOKS_WRITE_TIMEOUT"
        yield Detail("WEBHOOKS_LEASE", problem)
    if settings.kafka_security_protocol.authenticates and not settings.kafka_sasl_username:
        protocol = settings.kafka_security_protocol
        problem = f"KAFKA_SASL_USERNAME must be set, because KAFKA_SECURITY_PROTOCOL is {protocol}"
        yield Detail("KAFKA_SASL_USERNAME", problem)
    yield from _header_contradictions(settings.signature_headers)
    yield from _authentication_contradictions(settings)
    yield from _vault_contradictions(settings)


def _authentication_contradictions(settings: Settings) -> Iterator[Detail]:
    if Authentication.NONE in settings.api_auth and len(settings.api_auth) > 1:
        problem = "API_AUTH is none and more, but where nobody is asked the rest has no effect"
        yield Detail("API_AUTH", problem)
    if Authentication.JWT in settings.api_auth:
        needed = {
            "API_JWT_ISSUER": settings.api_jwt_issuer,
            "API_JWT_AUDIENCE": settings.api_jwt_audience,
            "API_JWT_JWKS_URL": settings.api_jwt_jwks_url,
        }
        for name in (name for name, value in needed.items() if not value):
            yield Detail(name, f"{name} must be set where API_AUTH has jwt")
    if settings.api_bootstrap_key and Authentication.API_KEY not in settings.api_auth:
        problem = "API_BOOTSTRAP_KEY is set, but opens nothing: add api_key to API_AUTH"
        yield Detail("API_AUTH", problem)


def _vault_contradictions(settings: Settings) -> Iterator[Detail]:
    name = "DB_ENCRYPTION_VAULT_URI"
    parts = urlsplit(settings.db_encryption_vault_uri)
    if not parts.scheme and any(map(parsers.is_wrapped, settings.encryption_secrets)):
        yield Detail(name, f"{name} must be set, because an encryption secret is wrapped by Vault")
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        yield Detail(
            name, f"{name} must be https except on loopback: token and secret could be read"
        )


def _header_contradictions(headers: SignatureHeaders) -> Iterator[Detail]:
    for variable, name in ((_SIGNATURE, headers.signature), (_TIMESTAMP, headers.timestamp)):
        if name.lower() in _SENT_ANYWAY or name.lower().startswith("webhook-"):
            problem = f"{variable} is {name!r}, but must not be a header that is sent anyway"
            yield Detail(variable, problem)
    if headers.timestamp.lower() in {headers.signature.lower(), headers.key_id.lower()}:
        problem = f"{_TIMESTAMP} must differ from {headers.signature!r} and {headers.key_id!r}"
        yield Detail(_TIMESTAMP, problem)
