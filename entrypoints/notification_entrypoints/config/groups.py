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
    """The API: its server, authentication and limits."""

    server_host: str = following("POD_IP", BIND_HOST, "The address that the API server listens on.")
    server_port: int = setting(PORT, "3615", "The API server's port; 0 takes a free one.")
    server_read_timeout: timedelta = setting(
        TIME, "5s", "How long the API server waits for a complete request."
    )
    server_write_timeout: timedelta = setting(
        TIME, "10s", "The time limit for a response of the API server."
    )
    server_max_buffered: int = setting(
        whole(16 * 1024 * 1024, 2**40),
        "67108864",
        "The limit in bytes of the bodies of all unfinished requests together, per process.",
    )
    server_max_connections: int | None = setting(
        optional(whole(1, 1_000_000)),
        "",
        "The limit of connections to the API server, per process; the longest idle one is closed "
        "for a new one (empty: what the limit of open files leaves, at most 10000).",
    )
    auth: tuple[Authentication, ...] = derived(
        several_of(Authentication),
        "none on a loopback address",
        "How callers of the API authenticate.",
        lambda self: (Authentication.NONE,) if is_loopback(self.server_host) else (),
    )
    bootstrap_key: str = setting(
        BOOTSTRAP_KEY,
        "",
        "An API key with all permissions, for creating the first keys.",
        secret=True,
    )
    jwt_issuer: str = setting(TEXT, "", "The issuer of accepted tokens (iss).")
    jwt_audience: str = setting(TEXT, "", "The audience of accepted tokens (aud).")
    jwt_jwks_url: str = setting(URL, "", "The URL of the issuer's JSON Web Key Set.")
    jwt_algorithms: tuple[JwtAlgorithm, ...] = setting(
        several_of(JwtAlgorithm),
        "RS256,ES256,EdDSA",
        "The signature algorithms of accepted tokens.",
    )
    jwt_scope_claim: str = setting(
        SOME_TEXT, "scope", "The claim with the scope: read, write or admin, among other words."
    )
    jwt_environments_claim: str = setting(
        SOME_TEXT, "environments", "The claim with the list of environment ids, or all."
    )
    trusted_proxies: tuple[Network, ...] = setting(
        NETWORKS,
        "",
        "The networks of reverse proxies whose X-Forwarded-For and -Proto are trusted.",
    )
    cors_origins: tuple[str, ...] = setting(
        ORIGINS, "", "The origins that may call the API from a browser (CORS)."
    )
    rate_limit: int | None = setting(
        optional(whole(1, 1_000_000)),
        "",
        "The limit of requests per second and caller, per process.",
    )


@frozen(kw_only=True)
class OpsSettings:
    """The ops server."""

    server_host: str = following("POD_IP", BIND_HOST, "The address that the ops server listens on.")
    server_port: int = setting(PORT, "3616", "The ops server's port; 0 takes a free one.")
    server_read_timeout: timedelta = setting(
        TIME, "5s", "How long the ops server waits for a complete request."
    )
    server_write_timeout: timedelta = setting(
        TIME, "10s", "The time limit for a response of the ops server."
    )


@frozen(kw_only=True)
class DbSettings:
    """The storage, and what is encrypted in it."""

    uri: str = setting(
        DATABASE,
        "localhost:5432",
        "The database: `host:port`, a `postgresql://` URI, which may name several hosts and have "
        "libpq's options (`sslmode`, `connect_timeout` …), or a `sqlite:///` URI; what a URI omits "
        "is taken from the variables below.",
    )
    auth_user: str = setting(TEXT, "postgres", "The database server's user.")
    auth_pass: str = setting(TEXT, "", "The user's password.", secret=True)
    database: str = setting(
        SOME_TEXT, "notificationmanagement", "The database's name on its server."
    )
    schema: str | None = setting(
        SCHEMA,
        "",
        "The PostgreSQL schema of all tables, created if it is missing; empty for the user's "
        "default.",
    )
    direct_uri: str | None = setting(
        DIRECT_SERVER,
        "",
        "The database server itself, if DB_URI names a pooler in transaction mode: for locks and "
        "notifications, which outlast a transaction.",
    )
    prepared_statements: bool = setting(
        TRUTH,
        "true",
        "Whether statements stay prepared on a connection; false for a pooler in transaction mode.",
    )
    encryption_secret: str = required_secret(
        SECRET, "The secret that encrypts private keys, values of custom headers and other secrets."
    )
    encryption_previous_secrets: tuple[str, ...] = setting(
        SECRETS, "", "Previous encryption secrets, which still decrypt.", secret=True
    )
    encryption_vault_uri: str = setting(
        URL,
        "",
        "The URL of Vault's transit engine, such as `https://vault.example.com:8200/v1/transit`, "
        "if encryption secrets are wrapped by it; used at the start only.",
    )
    encryption_vault_key: str = setting(
        VAULT_KEY, "notification-management", "The name of the Vault key that decrypts them."
    )
    encryption_vault_token: str = setting(
        TOKEN, "", "The token for Vault; empty if a Vault agent adds it.", secret=True
    )
    encryption_vault_ca_file: Path | None = setting(
        LOCATION,
        "",
        "The CA bundle (PEM) for Vault's certificate; empty for the system's.",
    )
    pool_size: int = setting(
        whole(1, 1000),
        "10",
        "The limit of connections to a database server, including those with an abandoned commit "
        "that has not finished; a dispatcher needs one more, and so does checking such commits.",
    )

    @property
    def encryption_secrets(self) -> tuple[str, ...]:
        """The current encryption secret and the previous ones, as they are configured."""
        return self.encryption_secret, *self.encryption_previous_secrets


@frozen(kw_only=True)
class EventSettings:
    """The events: the catalogue of their types, and validation."""

    catalogue: EventCatalogue = setting(
        CATALOGUE,
        "",
        "The file of the event catalogue; empty for the default one of pipelines and jobs.",
    )
    validation: EventValidation = setting(
        one_of(EventValidation),
        "count",
        "Whether an event whose data does not match the schema of its type is delivered and "
        "counted, or rejected.",
    )


@frozen(kw_only=True)
class RetentionSettings:
    """Retention of logs, events and the audit log."""

    logs: timedelta = setting(TIME, "720h", "Retention of the log of attempts.")
    audit: timedelta = setting(TIME, "8760h", "Retention of the audit log.")
    events: timedelta = setting(
        TIME,
        "720h",
        "Retention of events, their deliveries and ids (the window for duplicates), and of dead "
        "letters; pending deliveries are kept, but expire if their webhook is disabled.",
    )
    stats: timedelta = setting(TIME, "2160h", "Retention of statistics; by minute, 48 hours.")


@frozen(kw_only=True)
class KafkaSettings:
    """Kafka: its brokers, what is consumed and how."""

    brokers: tuple[str, ...] = setting(
        BROKERS, "localhost:9092", "The bootstrap brokers; empty to disable Kafka."
    )
    consumer_fetch_bytes: int = setting(
        whole(1, 2**31 - 1), "1048576", "The bytes that a fetch waits for (fetch.min.bytes)."
    )
    consumer_fetch_frequency: timedelta = setting(
        TIME,
        "250ms",
        "How long a fetch waits for them at most (fetch.max.wait); a single message waits that "
        "long, unless KAFKA_CONSUMER_FETCH_BYTES is 1.",
    )
    consumer_start: Start = setting(
        one_of(Start), "earliest", "The initial offset of a group that has never consumed."
    )
    topics: tuple[str, ...] = setting(
        TOPICS, "pipeline-events,job-events", "The topics that are consumed."
    )
    topic_prefix: str = setting(TOPIC_PREFIX, "", "The prefix of all topic names.")
    topic_replication_factor: int = setting(
        whole(1, 2**15 - 1), "1", "The replication factor of topics that are created."
    )
    security_protocol: SecurityProtocol = setting(
        one_of(SecurityProtocol), "PLAINTEXT", "The security protocol of connections to Kafka."
    )
    sasl_mechanism: SaslMechanism = setting(one_of(SaslMechanism), "PLAIN", "The SASL mechanism.")
    sasl_username: str = setting(TEXT, "", "The SASL user.")
    sasl_password: str = setting(TEXT, "", "The SASL password.", secret=True)
    ssl_ca_location: Path | None = setting(
        LOCATION,
        "",
        "The CA bundle (PEM) for the brokers' certificates; empty for the system's.",
    )
    ssl_certificate_location: Path | None = setting(
        LOCATION, "", "The client certificate (PEM), if brokers require one."
    )
    ssl_key_location: Path | None = setting(
        LOCATION, "", "The key of that certificate (PEM); empty if it is in the same file."
    )
    ssl_key_password: str = setting(TEXT, "", "The password of that key.", secret=True)

    @property
    def topic_names(self) -> Topics | None:
        """The names of the topics; None if Kafka is disabled."""
        return Topics(self.topic_prefix, self.topics) if self.brokers else None


@frozen(kw_only=True)
class WebhookSettings(BreakerSettings):
    """Webhooks: destinations, signatures, requests, retries and limits."""

    max_retries: int = setting(whole(0, 1_000_000), "3", "How many times a delivery is retried.")
    retry_interval: timedelta = setting(
        DELAY, "1s", "The delay between a failed attempt and the first retry."
    )
    retry_backoff: float = setting(
        decimal(1, 100), "1", "The factor of the interval for each further retry."
    )
    retry_after_max: timedelta = setting(DELAY, "1h", "The limit for a receiver's Retry-After.")
    write_timeout: timedelta = setting(
        TIME,
        "10s",
        "The timeout of an attempt, from the DNS lookup to the last byte of the response.",
    )
    lease: timedelta = derived(
        TIME,
        "3 times WEBHOOKS_WRITE_TIMEOUT",
        "The lease of a claimed delivery: after it, another worker may reclaim it.",
        lambda self: 3 * self.write_timeout,
    )
    poll_interval: timedelta = setting(
        TIME, "1s", "The interval at which the storage is polled for due deliveries and changes."
    )
    max_in_flight: int = setting(
        whole(2, 100_000), "512", "The limit of attempts in flight, per process."
    )
    max_in_flight_per_webhook: int = setting(
        whole(1, 100_000), "64", "The limit of attempts in flight per webhook, per process."
    )
    max_pending_per_webhook: int = setting(
        whole(1, 1_000_000_000),
        "1000000",
        "The approximate limit of pending deliveries per webhook; further ones are skipped.",
    )
    disable_after: timedelta = setting(
        TIME, "120h", "A webhook that has only failed for this long is disabled."
    )
    max_per_environment: int = setting(
        whole(1, 20_000), "1000", "The limit of webhooks per environment."
    )
    sender: Sender = setting(
        one_of(Sender),
        "auto",
        "The HTTP client that sends the requests; auto is native if httptools is installed.",
    )
    standard_signature: bool = setting(
        TRUTH, "true", "Whether requests are also signed in the Standard Webhooks scheme."
    )
    public_verification_key_signature_header: str = setting(
        HEADER, "X-3dverse-Signature", "The header with the signature."
    )
    public_verification_key_signature_timestamp_header: str = setting(
        HEADER, "X-3dverse-Signature-Timestamp", "The header with the timestamp that is signed."
    )
    allowed_networks: tuple[Network, ...] = setting(
        NETWORKS,
        "",
        "Networks that webhooks may reach although they are not public (SSRF protection).",
    )
    allowed_hosts: tuple[str, ...] = setting(
        HOSTS,
        "",
        "Host names that webhooks may have although they are not public (SSRF protection).",
    )
    nat64_prefixes: tuple[IPv6Network, ...] = setting(
        NAT64_PREFIXES,
        "",
        "NAT64 prefixes in addition to 64:ff9b::/96: of an address within one, the embedded IPv4 "
        "address is checked.",
    )
    require_https: bool = setting(TRUTH, "false", "Whether webhook URLs must be https.")
    egress_proxy: EgressProxy | None = setting(
        optional(PROXY),
        "",
        "The egress proxy for all requests to receivers; it then decides which addresses they may "
        "reach.",
        secret=True,
    )
    ca_file: Path | None = setting(
        LOCATION,
        "",
        "The CA bundle (PEM) for receivers' certificates; empty for the system's.",
    )

    @property
    def destinations(self) -> DestinationPolicy:
        """The policy for the destinations of webhooks."""
        return DestinationPolicy(
            allowed_networks=self.allowed_networks,
            allowed_hosts=self.allowed_hosts,
            require_https=self.require_https,
            nat64_prefixes=(WELL_KNOWN_PREFIX, *self.nat64_prefixes),
        )

    @property
    def signature_headers(self) -> SignatureHeaders:
        """The names of the signature headers."""
        return SignatureHeaders(
            signature=self.public_verification_key_signature_header,
            timestamp=self.public_verification_key_signature_timestamp_header,
            standard=self.standard_signature,
        )
