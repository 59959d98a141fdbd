"""The groups of settings, by the beginning of their variables' names."""

# ruff: noqa: RUF009 - the calls in the class bodies make attrs fields, as attrs.field() does

from datetime import timedelta
from ipaddress import IPv6Network
from pathlib import Path

from attrs import frozen

from notification_adapters.http.proxy import EgressProxy
from notification_adapters.kafka.config import SaslMechanism, SecurityProtocol, Start
from notification_core.model.destinations import DestinationPolicy, Network
from notification_core.model.event_types import EventCatalogue
from notification_core.model.message import Topics
from notification_core.model.nat64 import WELL_KNOWN_PREFIX
from notification_core.signing.signatures import SignatureHeaders
from notification_entrypoints.config.breaker_settings import BreakerSettings
from notification_entrypoints.config.parsers import (
    BIND_HOST,
    BOOTSTRAP_KEY,
    BROKERS,
    CATALOGUE,
    DATABASE,
    DELAY,
    DIRECT_SERVER,
    HEADER,
    HOSTS,
    LOCATION,
    NAT64_PREFIXES,
    NETWORKS,
    ORIGINS,
    PORT,
    PROXY,
    SCHEMA,
    SECRET,
    SECRETS,
    SOME_TEXT,
    TEXT,
    TIME,
    TOKEN,
    TOPIC_PREFIX,
    TOPICS,
    TRUTH,
    URL,
    VAULT_KEY,
    Authentication,
    EventValidation,
    JwtAlgorithm,
    Sender,
    decimal,
    is_loopback,
    one_of,
    optional,
    several_of,
    whole,
)
from notification_entrypoints.config.variables import (
    derived,
    following,
    required_secret,
    setting,
)


@frozen(kw_only=True)
class ApiSettings:
    """The API: its server, and who may call it."""

    server_host: str = following("POD_IP", BIND_HOST, "What the API server listens on.")
    server_port: int = setting(PORT, "3615", "The API server's port; 0 takes a free one.")
    server_read_timeout: timedelta = setting(
        TIME, "5s", "How long the API server waits for a request to arrive whole."
    )
    server_write_timeout: timedelta = setting(
        TIME, "10s", "How long a response of the API server may take."
    )
    server_max_buffered: int = setting(
        whole(16 * 1024 * 1024, 2**40),
        "67108864",
        "How many bytes the bodies of all unfinished requests may have together, in each process.",
    )
    server_max_connections: int | None = setting(
        optional(whole(1, 1_000_000)),
        "",
        "The most connections to the API server, in each process, where an idle one makes room for "
        "a new one; empty for what the limit of open files leaves, at most 10000.",
    )
    auth: tuple[Authentication, ...] = derived(
        several_of(Authentication),
        "none on a loopback address",
        "How callers of the API prove who they are.",
        lambda self: (Authentication.NONE,) if is_loopback(self.server_host) else (),
    )
    bootstrap_key: str = setting(
        BOOTSTRAP_KEY, "", "A key that may do everything, to make others with.", secret=True
    )
    jwt_issuer: str = setting(
        TEXT, "", "The issuer whose tokens are accepted, as their iss says it."
    )
    jwt_audience: str = setting(TEXT, "", "What tokens for this API have in their aud.")
    jwt_jwks_url: str = setting(
        URL, "", "Where the issuer publishes its keys, as a JSON Web Key Set."
    )
    jwt_algorithms: tuple[JwtAlgorithm, ...] = setting(
        several_of(JwtAlgorithm), "RS256,ES256,EdDSA", "What tokens may be signed with."
    )
    jwt_scope_claim: str = setting(
        SOME_TEXT, "scope", "The claim that holds read, write or admin, among other words."
    )
    jwt_environments_claim: str = setting(
        SOME_TEXT, "environments", "The claim that lists the environments' ids, or is all."
    )
    trusted_proxies: tuple[Network, ...] = setting(
        NETWORKS, "", "Where proxies are that are believed when they say whom they speak for."
    )
    cors_origins: tuple[str, ...] = setting(
        ORIGINS, "", "The origins of pages that may call the API from a browser."
    )
    rate_limit: int | None = setting(
        optional(whole(1, 1_000_000)),
        "",
        "The most requests a second of one caller, in each process.",
    )


@frozen(kw_only=True)
class OpsSettings:
    """The ops server."""

    server_host: str = following("POD_IP", BIND_HOST, "What the ops server listens on.")
    server_port: int = setting(PORT, "3616", "The ops server's port; 0 takes a free one.")
    server_read_timeout: timedelta = setting(
        TIME, "5s", "How long the ops server waits for a request to arrive whole."
    )
    server_write_timeout: timedelta = setting(
        TIME, "10s", "How long a response of the ops server may take."
    )


@frozen(kw_only=True)
class DbSettings:
    """The storage, and what is encrypted in it."""

    uri: str = setting(
        DATABASE,
        "localhost:5432",
        "Where the database is; a `postgresql://` URI may name several hosts and hold libpq's "
        "options (`sslmode`, `connect_timeout` …), and what it does not say is taken from the "
        "variables below.",
    )
    auth_user: str = setting(TEXT, "postgres", "The database server's user.")
    auth_pass: str = setting(TEXT, "", "The user's password.", secret=True)
    database: str = setting(
        SOME_TEXT, "notificationmanagement", "The database's name on its server."
    )
    schema: str | None = setting(
        SCHEMA,
        "",
        "The schema of the server's database that all tables are in, made where it is missing; "
        "empty for the user's own.",
    )
    direct_uri: str | None = setting(
        DIRECT_SERVER,
        "",
        "Where the server itself is, if DB_URI names a pooler that hands a connection to another "
        "client after each transaction: for what lasts longer than one.",
    )
    prepared_statements: bool = setting(
        TRUTH,
        "true",
        "Whether statements stay prepared on a connection; false behind such a pooler.",
    )
    encryption_secret: str = required_secret(
        SECRET, "What private keys and values of custom headers are encrypted with."
    )
    encryption_previous_secrets: tuple[str, ...] = setting(
        SECRETS, "", "Former encryption secrets, which still decrypt.", secret=True
    )
    encryption_vault_uri: str = setting(
        URL,
        "",
        "Where Vault's transit engine is mounted, as `https://vault.example.com:8200/v1/transit`, "
        "if encryption secrets are wrapped by it; asked at the start only.",
    )
    encryption_vault_key: str = setting(
        VAULT_KEY, "notification-management", "The key of Vault's that unwraps them."
    )
    encryption_vault_token: str = setting(
        TOKEN, "", "The token that Vault is shown; empty where an agent adds it.", secret=True
    )
    encryption_vault_ca_file: Path | None = setting(
        LOCATION,
        "",
        "A PEM file of who is trusted to vouch for Vault; empty for whom this machine trusts.",
    )
    pool_size: int = setting(
        whole(1, 1000),
        "10",
        "The most connections to a database server, those included whose commit was given up and "
        "has not finished; a dispatcher needs one more, and so does looking for such commits.",
    )

    @property
    def encryption_secrets(self) -> tuple[str, ...]:
        """The present encryption secret and the former ones, as they are configured."""
        return self.encryption_secret, *self.encryption_previous_secrets


@frozen(kw_only=True)
class EventSettings:
    """The events: which types there are, and whether their data must fit."""

    catalogue: EventCatalogue = setting(
        CATALOGUE,
        "",
        "The file of the event catalogue; empty for the events of pipelines and jobs.",
    )
    validation: EventValidation = setting(
        one_of(EventValidation),
        "count",
        "What becomes of an event whose data does not fit the schema of its type: it is delivered "
        "and counted, or rejected.",
    )


@frozen(kw_only=True)
class RetentionSettings:
    """How long things are kept."""

    logs: timedelta = setting(TIME, "720h", "How long the log of attempts is kept.")
    audit: timedelta = setting(TIME, "8760h", "How long it is kept who changed what.")
    events: timedelta = setting(
        TIME,
        "720h",
        "How long events are kept and known again, with their deliveries, unless one still waits, "
        "and dead letters; what waits for a disabled webhook expires after it.",
    )
    stats: timedelta = setting(TIME, "2160h", "How long statistics are kept; by minutes, 48 hours.")


@frozen(kw_only=True)
class KafkaSettings:
    """Kafka: its brokers, what is consumed and how."""

    brokers: tuple[str, ...] = setting(
        BROKERS, "localhost:9092", "The Kafka brokers to begin with; empty for no Kafka."
    )
    consumer_fetch_bytes: int = setting(
        whole(1, 2**31 - 1), "1048576", "How many bytes a fetch waits for (fetch.min.bytes)."
    )
    consumer_fetch_frequency: timedelta = setting(
        TIME,
        "250ms",
        "How long a fetch waits for them at most (fetch.max.wait); a lone message waits that long, "
        "unless KAFKA_CONSUMER_FETCH_BYTES is 1.",
    )
    consumer_start: Start = setting(
        one_of(Start), "earliest", "Where a group begins that has never consumed."
    )
    topics: tuple[str, ...] = setting(
        TOPICS, "pipeline-events,job-events", "The topics that events come from."
    )
    topic_prefix: str = setting(TOPIC_PREFIX, "", "What all names of topics begin with.")
    topic_replication_factor: int = setting(
        whole(1, 2**15 - 1), "1", "The replication factor of topics that are created."
    )
    security_protocol: SecurityProtocol = setting(
        one_of(SecurityProtocol), "PLAINTEXT", "How connections to Kafka are protected."
    )
    sasl_mechanism: SaslMechanism = setting(
        one_of(SaslMechanism), "PLAIN", "How the password is shown to a SASL protocol."
    )
    sasl_username: str = setting(TEXT, "", "The user of a SASL protocol.")
    sasl_password: str = setting(TEXT, "", "The password of a SASL protocol.", secret=True)
    ssl_ca_location: Path | None = setting(
        LOCATION,
        "",
        "A PEM file of who is trusted to vouch for brokers; empty for whom this machine trusts.",
    )
    ssl_certificate_location: Path | None = setting(
        LOCATION, "", "A PEM file of the client's own certificate, where brokers ask for one."
    )
    ssl_key_location: Path | None = setting(
        LOCATION, "", "A PEM file of that certificate's key; empty where it is in the same."
    )
    ssl_key_password: str = setting(TEXT, "", "The password of that key.", secret=True)

    @property
    def topic_names(self) -> Topics | None:
        """How the topics are called; None where there is no Kafka."""
        return Topics(self.topic_prefix, self.topics) if self.brokers else None


@frozen(kw_only=True)
class WebhookSettings(BreakerSettings):
    """Webhooks: where they may lead, how requests are signed, sent and sent again."""

    max_retries: int = setting(
        whole(0, 1_000_000), "3", "How many times a delivery is tried again."
    )
    retry_interval: timedelta = setting(
        DELAY, "1s", "How long after a failed attempt the next one is made."
    )
    retry_backoff: float = setting(
        decimal(1, 100), "1", "What the interval is multiplied by with each further failure."
    )
    retry_after_max: timedelta = setting(
        DELAY, "1h", "The longest wait that a receiver's Retry-After can ask for."
    )
    write_timeout: timedelta = setting(
        TIME, "10s", "How long an attempt may take, from the name's look-up to the last byte."
    )
    lease: timedelta = derived(
        TIME,
        "3 times WEBHOOKS_WRITE_TIMEOUT",
        "How long a worker holds a delivery before another may take it.",
        lambda self: 3 * self.write_timeout,
    )
    poll_interval: timedelta = setting(
        TIME, "1s", "How often the storage is asked for work and changes that nobody told of."
    )
    max_in_flight: int = setting(
        whole(2, 100_000), "512", "The most attempts at the same time in a process."
    )
    max_in_flight_per_webhook: int = setting(
        whole(1, 100_000), "64", "The most attempts at the same time of one webhook."
    )
    max_pending_per_webhook: int = setting(
        whole(1, 1_000_000_000),
        "1000000",
        "How many deliveries may wait for one webhook, about; what comes then is skipped.",
    )
    disable_after: timedelta = setting(
        TIME, "120h", "A webhook that has only failed for this long is disabled."
    )
    max_per_environment: int = setting(
        whole(1, 20_000), "1000", "The most webhooks that an environment may have."
    )
    sender: Sender = setting(
        one_of(Sender),
        "auto",
        "The HTTP client that sends the requests; auto takes native where httptools is installed.",
    )
    standard_signature: bool = setting(
        TRUTH, "true", "Whether requests are signed by the Standard Webhooks scheme as well."
    )
    public_verification_key_signature_header: str = setting(
        HEADER, "X-3dverse-Signature", "The header of a request's signature."
    )
    public_verification_key_signature_timestamp_header: str = setting(
        HEADER, "X-3dverse-Signature-Timestamp", "The header of the time that is signed."
    )
    allowed_networks: tuple[Network, ...] = setting(
        NETWORKS, "", "Networks that webhooks may reach although they are not public."
    )
    allowed_hosts: tuple[str, ...] = setting(
        HOSTS, "", "Names that webhooks may reach although they are not public."
    )
    nat64_prefixes: tuple[IPv6Network, ...] = setting(
        NAT64_PREFIXES,
        "",
        "Prefixes of NAT64 beside 64:ff9b::/96: an address within one that a name leads to is "
        "checked by the IPv4 address inside it.",
    )
    require_https: bool = setting(
        TRUTH, "false", "Whether webhooks with a plain http URL are refused."
    )
    egress_proxy: EgressProxy | None = setting(
        optional(PROXY),
        "",
        "The proxy that all requests to receivers leave through, which then decides what addresses "
        "they may reach.",
        secret=True,
    )
    ca_file: Path | None = setting(
        LOCATION,
        "",
        "A PEM file of who is trusted to vouch for receivers; empty for whom this machine trusts.",
    )

    @property
    def destinations(self) -> DestinationPolicy:
        """Where webhooks may be sent."""
        return DestinationPolicy(
            allowed_networks=self.allowed_networks,
            allowed_hosts=self.allowed_hosts,
            require_https=self.require_https,
            nat64_prefixes=(WELL_KNOWN_PREFIX, *self.nat64_prefixes),
        )

    @property
    def signature_headers(self) -> SignatureHeaders:
        """How the headers of the signatures are called."""
        return SignatureHeaders(
            signature=self.public_verification_key_signature_header,
            timestamp=self.public_verification_key_signature_timestamp_header,
            standard=self.standard_signature,
        )
