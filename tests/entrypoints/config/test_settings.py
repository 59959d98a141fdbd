"""Settings: what is read, what is refused and how, and what is never shown."""

from collections.abc import Mapping
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from attrs.exceptions import FrozenInstanceError
from hypothesis import given
from hypothesis import strategies as st

from notification_adapters.http.proxy import EgressProxy
from notification_adapters.kafka.config import SaslMechanism, SecurityProtocol, Start
from notification_core.errors import InvalidSettings
from notification_core.model.destinations import DestinationPolicy
from notification_core.model.message import Topics
from notification_core.signing.signatures import SignatureHeaders
from notification_entrypoints.config.groups import DbSettings
from notification_entrypoints.config.parsers import (
    Authentication,
    JwtAlgorithm,
    Sender,
    is_loopback,
)
from notification_entrypoints.config.report import SettingOrigin, describe
from notification_entrypoints.config.settings import (
    Settings,
    check_exposure,
    load_settings,
    variables,
)
from notification_entrypoints.config.variables import value_of

SECRET = "a secret of thirty-two letters !"
FORMER = "commas, commas, commas, and more"
SIGNATURE = "WEBHOOKS_PUBLIC_VERIFICATION_KEY_SIGNATURE_HEADER"
TIMESTAMP = "WEBHOOKS_PUBLIC_VERIFICATION_KEY_SIGNATURE_TIMESTAMP_HEADER"
REQUIRED = {"DB_ENCRYPTION_SECRET": SECRET}

# The published defaults, as written.
DEFAULTS = {
    "API_SERVER_PORT": "3615",
    "API_SERVER_READ_TIMEOUT": "5s",
    "API_SERVER_WRITE_TIMEOUT": "10s",
    "DB_URI": "localhost:5432",
    "DB_AUTH_USER": "postgres",
    "DB_AUTH_PASS": "",
    "DB_DATABASE": "notificationmanagement",
    "DB_SCHEMA": "",
    "DB_DIRECT_URI": "",
    "DB_PREPARED_STATEMENTS": "true",
    "DB_ENCRYPTION_SECRET": None,
    "DEBUG": "false",
    "ENV": "development",
    "STARTUP_TIMEOUT": "0s if ENV is development, else 5m",
    "SHUTDOWN_DELAY": "0s if ENV is development, else 5s",
    "CONSOLE_ENABLED": "true",
    "CONSOLE_ORIGIN": "",
    "CONSOLE_SESSION_LIFETIME": "12h",
    "CONSOLE_FRAME_ANCESTORS": "",
    "CONSOLE_NAME": "Notification Management",
    "CONSOLE_LOGO_FILE": "",
    "CONSOLE_ACCENT_COLOR": "",
    "EVENT_CATALOGUE": "",
    "OPERATIONAL_WEBHOOK_ENVIRONMENT": "",
    "EVENT_VALIDATION": "count",
    "KAFKA_BROKERS": "localhost:9092",
    "KAFKA_CONSUMER_FETCH_BYTES": "1048576",
    "KAFKA_CONSUMER_FETCH_FREQUENCY": "250ms",
    "KAFKA_TOPICS": "pipeline-events,job-events",
    "KAFKA_TOPIC_PREFIX": "",
    "KAFKA_TOPIC_REPLICATION_FACTOR": "1",
    "OTEL_SDK_DISABLED": "false",
    "OTEL_TRACES_EXPORTER": "",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "",
    "OTEL_EXPORTER_OTLP_PROTOCOL": "",
    "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "",
    "OPS_SERVER_PORT": "3616",
    "OPS_SERVER_READ_TIMEOUT": "5s",
    "OPS_SERVER_WRITE_TIMEOUT": "10s",
    "POD_IP": "127.0.0.1",
    "POD_NAME": "localhost",
    "PROJECT_MANAGEMENT_API_URI": "http://localhost:8101/api",
    "TZ": "America/Montreal",
    "WEBHOOKS_MAX_RETRIES": "3",
    "WEBHOOKS_RETRY_INTERVAL": "1s",
    "WEBHOOKS_WRITE_TIMEOUT": "10s",
    "WEBHOOKS_PUBLIC_VERIFICATION_KEY_SIGNATURE_HEADER": "X-3dverse-Signature",
    "WEBHOOKS_PUBLIC_VERIFICATION_KEY_SIGNATURE_TIMESTAMP_HEADER": "X-3dverse-Signature-Timestamp",
    "WEBHOOKS_MAX_IN_FLIGHT": "512",
    "WEBHOOKS_MAX_IN_FLIGHT_PER_WEBHOOK": "64",
    "WEBHOOKS_LEASE": "3 times WEBHOOKS_WRITE_TIMEOUT",
    "WEBHOOKS_POLL_INTERVAL": "1s",
    "WEBHOOKS_RETRY_BACKOFF": "1",
    "WEBHOOKS_RETRY_AFTER_MAX": "1h",
    "WEBHOOKS_DISABLE_AFTER": "120h",
    "WEBHOOKS_BREAKER_FAILURES": "10",
    "WEBHOOKS_BREAKER_PAUSE": "10s",
    "WEBHOOKS_BREAKER_MAX_PAUSE": "5m",
    "WEBHOOKS_BREAKER_HOLD": "24h",
    "WEBHOOKS_STANDARD_SIGNATURE": "true",
    "WEBHOOKS_SENDER": "auto",
    "WEBHOOKS_ALLOWED_NETWORKS": "",
    "WEBHOOKS_ALLOWED_HOSTS": "",
    "WEBHOOKS_NAT64_PREFIXES": "",
    "WEBHOOKS_REQUIRE_HTTPS": "false",
    "WEBHOOKS_EGRESS_PROXY": "",
    "WEBHOOKS_CA_FILE": "",
    "WEBHOOKS_MAX_PENDING_PER_WEBHOOK": "1000000",
    "WEBHOOKS_MAX_PER_ENVIRONMENT": "1000",
    "API_SERVER_HOST": "POD_IP",
    "OPS_SERVER_HOST": "POD_IP",
    "API_AUTH": "none on a loopback address",
    "API_BOOTSTRAP_KEY": "",
    "API_JWT_ISSUER": "",
    "API_JWT_AUDIENCE": "",
    "API_JWT_JWKS_URL": "",
    "API_JWT_ALGORITHMS": "RS256,ES256,EdDSA",
    "API_JWT_SCOPE_CLAIM": "scope",
    "API_JWT_ENVIRONMENTS_CLAIM": "environments",
    "API_TRUSTED_PROXIES": "",
    "API_CORS_ORIGINS": "",
    "API_RATE_LIMIT": "",
    "API_SERVER_MAX_BUFFERED": "67108864",
    "API_SERVER_MAX_CONNECTIONS": "",
    "DB_POOL_SIZE": "10",
    "RETENTION_EVENTS": "720h",
    "RETENTION_AUDIT": "8760h",
    "RETENTION_LOGS": "720h",
    "RETENTION_STATS": "2160h",
    "DB_ENCRYPTION_PREVIOUS_SECRETS": "",
    "DB_ENCRYPTION_VAULT_URI": "",
    "DB_ENCRYPTION_VAULT_KEY": "notification-management",
    "DB_ENCRYPTION_VAULT_TOKEN": "",
    "DB_ENCRYPTION_VAULT_CA_FILE": "",
    "KAFKA_CONSUMER_START": "earliest",
    "KAFKA_SECURITY_PROTOCOL": "PLAINTEXT",
    "KAFKA_SASL_MECHANISM": "PLAIN",
    "KAFKA_SASL_USERNAME": "",
    "KAFKA_SASL_PASSWORD": "",
    "KAFKA_SSL_CA_LOCATION": "",
    "KAFKA_SSL_CERTIFICATE_LOCATION": "",
    "KAFKA_SSL_KEY_LOCATION": "",
    "KAFKA_SSL_KEY_PASSWORD": "",
}


def load(**environ: str) -> Settings:
    return load_settings(REQUIRED | environ)


def refusals(environ: Mapping[str, str]) -> dict[str, str]:
    with pytest.raises(InvalidSettings) as refused:
        load_settings(environ)
    for detail in refused.value.details:
        assert detail.message in str(refused.value)
    return {detail.field: detail.message for detail in refused.value.details}


def refusal(variable: str, value: str) -> str:
    told = refusals(REQUIRED | {variable: value})
    assert set(told) == {variable}
    return told[variable]


def test_the_variables_and_their_defaults_are_the_published_ones() -> None:
    assert {name: variable.default for name, variable in variables().items()} == DEFAULTS


def test_every_variable_says_in_one_sentence_what_it_means() -> None:
    for variable in variables().values():
        assert variable.meaning.endswith(".")
        assert ". " not in variable.meaning


def test_only_the_encryption_secret_must_be_set() -> None:
    assert set(refusals({})) == {"DB_ENCRYPTION_SECRET"}
    settings = load()
    assert settings.api.server_port == 3615
    assert settings.kafka.brokers == ("localhost:9092",)
    assert settings.kafka.consumer_fetch_frequency == timedelta(milliseconds=250)
    assert settings.tz == ZoneInfo("America/Montreal")
    assert settings.webhooks.retry_backoff == 1.0
    assert settings.webhooks.sender is Sender.AUTO
    assert settings.retention.events == timedelta(days=30)
    assert not settings.debug


def test_settings_can_be_made_in_code_with_the_same_defaults() -> None:
    assert Settings(db=DbSettings(encryption_secret=SECRET)) == load()


def test_settings_do_not_change() -> None:
    with pytest.raises(FrozenInstanceError):
        load().debug = True  # type: ignore[misc] # the mistake that must not work


def test_other_variables_of_the_environment_are_none_of_ours() -> None:
    assert load(PATH="/bin", WEBHOOKS="?") == load()


@pytest.mark.parametrize(
    ("variable", "text", "value"),
    [
        ("API_SERVER_PORT", "0", 0),
        ("API_SERVER_PORT", "65535", 65535),
        ("API_SERVER_HOST", "0.0.0.0", "0.0.0.0"),  # noqa: S104 - a value to read, nothing binds
        ("API_SERVER_HOST", "api.example.com", "api.example.com"),
        ("POD_IP", "::1", "::1"),
        ("API_AUTH", "none", (Authentication.NONE,)),
        ("API_AUTH", "api_key", (Authentication.API_KEY,)),
        ("API_JWT_ALGORITHMS", "ES256, EdDSA", (JwtAlgorithm.ES256, JwtAlgorithm.EDDSA)),
        ("API_JWT_JWKS_URL", "https://a/keys?p=b", "https://a/keys?p=b"),
        ("API_TRUSTED_PROXIES", "10.0.0.0/8", (ip_network("10.0.0.0/8"),)),
        (
            "API_CORS_ORIGINS",
            "https://a.example.com, http://b:8080",
            ("https://a.example.com", "http://b:8080"),
        ),
        ("API_CORS_ORIGINS", "*", ("*",)),
        ("API_RATE_LIMIT", "100", 100),
        ("API_RATE_LIMIT", "", None),
        ("DEBUG", "true", True),
        ("DEBUG", "1", True),
        ("DEBUG", "0", False),
        ("TZ", "UTC", ZoneInfo("UTC")),
        ("DB_URI", "db.example.com:6432", "db.example.com:6432"),
        ("DB_URI", "[::1]:5432", "[::1]:5432"),
        ("DB_URI", "postgresql://u:p@db/n", "postgresql://u:p@db/n"),
        ("DB_URI", "sqlite:///file.db", "sqlite:///file.db"),
        ("DB_SCHEMA", "", None),
        ("DB_SCHEMA", "notifications_2", "notifications_2"),
        ("DB_DIRECT_URI", "", None),
        ("DB_DIRECT_URI", "db.example.com:5432", "db.example.com:5432"),
        ("DB_URI", "sqlite:////srv/a b.db", "sqlite:////srv/a b.db"),
        ("KAFKA_BROKERS", "a:1, [::1]:9092", ("a:1", "[::1]:9092")),
        ("KAFKA_BROKERS", "", ()),
        ("KAFKA_TOPIC_PREFIX", "acme.", "acme."),
        ("KAFKA_TOPICS", "orders, returns", ("orders", "returns")),
        ("KAFKA_CONSUMER_START", "latest", Start.LATEST),
        ("KAFKA_SECURITY_PROTOCOL", "SSL", SecurityProtocol.SSL),
        ("KAFKA_SASL_MECHANISM", "SCRAM-SHA-256", SaslMechanism.SCRAM_SHA_256),
        ("KAFKA_SASL_USERNAME", "alice", "alice"),
        ("KAFKA_SSL_CA_LOCATION", "/etc/kafka/ca.pem", Path("/etc/kafka/ca.pem")),
        ("KAFKA_SSL_CA_LOCATION", "", None),
        ("PROJECT_MANAGEMENT_API_URI", "https://pm/api/", "https://pm/api"),
        ("PROJECT_MANAGEMENT_API_URI", "", None),
        ("WEBHOOKS_MAX_RETRIES", "0", 0),
        ("WEBHOOKS_RETRY_INTERVAL", "0", timedelta(0)),
        ("WEBHOOKS_RETRY_BACKOFF", "1.5", 1.5),
        ("WEBHOOKS_SENDER", "aiohttp", Sender.AIOHTTP),
        ("WEBHOOKS_SENDER", "native", Sender.NATIVE),
        ("WEBHOOKS_MAX_PER_ENVIRONMENT", "20000", 20_000),
        ("WEBHOOKS_ALLOWED_HOSTS", "hooks.internal,*.lan", ("hooks.internal", "*.lan")),
        ("WEBHOOKS_EGRESS_PROXY", "", None),
        ("WEBHOOKS_EGRESS_PROXY", "http://out.example:3128", EgressProxy("out.example", 3128)),
        ("WEBHOOKS_EGRESS_PROXY", "http://[fd00::1]:3128/", EgressProxy("fd00::1", 3128)),
        (
            "WEBHOOKS_EGRESS_PROXY",
            "http://us%40er:p%3Ass@10.0.0.1:80",
            EgressProxy("10.0.0.1", 80, "Basic dXNAZXI6cDpzcw=="),
        ),
        ("WEBHOOKS_CA_FILE", "/etc/ssl/ours.pem", Path("/etc/ssl/ours.pem")),
        ("DB_ENCRYPTION_PREVIOUS_SECRETS", SECRET, (SECRET,)),
        ("DB_ENCRYPTION_PREVIOUS_SECRETS", f"{FORMER},{SECRET}", (FORMER, SECRET)),
    ],
)
def test_reads(variable: str, text: str, value: object) -> None:
    read = value_of(load(**{variable: text}), variable)
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("variable", "text", "accepted"),
    [
        ("API_SERVER_PORT", "65536", "a whole number from 0 to 65535"),
        ("API_SERVER_MAX_CONNECTIONS", "0", "a whole number from 1 to 1000000"),
        ("API_SERVER_MAX_BUFFERED", "1", "a whole number from 16777216 to 1099511627776"),
        ("API_SERVER_PORT", "-1", "a whole number from 0 to 65535"),
        ("API_SERVER_PORT", " 80", "a whole number from 0 to 65535"),
        ("API_SERVER_PORT", "", "a whole number from 0 to 65535"),
        ("API_SERVER_PORT", "\N{ARABIC-INDIC DIGIT ONE}", "a whole number from 0 to 65535"),
        ("API_SERVER_HOST", "", "an IP address or a host name"),
        ("API_SERVER_HOST", "0", "an IP address or a host name"),
        ("API_SERVER_HOST", "127.1", "an IP address or a host name"),
        ("API_SERVER_HOST", "[::1]", "an IP address or a host name"),
        ("POD_IP", "localhost", "an IP address"),
        ("API_AUTH", "", "a comma list of none, api_key, jwt"),
        ("API_AUTH", "api_key,", "a comma list of none, api_key, jwt"),
        ("API_AUTH", "api_key,api_key", "a comma list of none, api_key, jwt"),
        ("API_AUTH", "none,api_key", "with none, authentication is disabled"),
        ("API_TRUSTED_PROXIES", "nginx", "'nginx'"),
        ("API_JWT_ALGORITHMS", "HS256", "a comma list of RS256,"),
        ("API_JWT_ALGORITHMS", "none", "a comma list of RS256,"),
        ("API_JWT_ALGORITHMS", "", "a comma list of RS256,"),
        ("API_JWT_JWKS_URL", "file:///keys", "an http or https URL"),
        ("API_JWT_SCOPE_CLAIM", "", "not empty"),
        ("API_CORS_ORIGINS", "example.com", "a comma list of origins"),
        ("API_CORS_ORIGINS", "https://example.com/", "a comma list of origins"),
        ("API_RATE_LIMIT", "0", "a whole number from 1 to 1000000, or empty for none"),
        ("DEBUG", "yes", "true or false"),
        ("DEBUG", "", "true or false"),
        ("TZ", "Mars/Olympus", "a time zone such as America/Montreal or UTC"),
        ("TZ", "America", "a time zone such as America/Montreal or UTC"),
        ("TZ", "../UTC", "a time zone such as America/Montreal or UTC"),
        ("TZ", "", "a time zone such as America/Montreal or UTC"),
        ("DB_URI", "", "host:port, postgresql://… or sqlite:///file"),
        ("DB_URI", "localhost", "host:port, postgresql://… or sqlite:///file"),
        ("DB_URI", "localhost:0", "host:port, postgresql://… or sqlite:///file"),
        ("DB_URI", "mysql://db/n", "host:port, postgresql://… or sqlite:///file"),
        ("DB_URI", "sqlite:///", "host:port, postgresql://… or sqlite:///file"),
        ("DB_DATABASE", "", "text without control characters, and not empty"),
        ("DB_SCHEMA", 'x"; DROP', "not beginning with 'pg_', or empty"),
        ("DB_SCHEMA", "pg_mine", "not beginning with 'pg_', or empty"),
        ("DB_DIRECT_URI", "sqlite:///file.db", "host:port, postgresql://…, or empty"),
        ("POD_NAME", "one\nline more", "text without control characters"),
        ("ENV", "\udcff", "text without control characters"),
        ("KAFKA_BROKERS", "a:1,", "a comma list of host:port, or empty for no Kafka"),
        ("KAFKA_BROKERS", "a", "a comma list of host:port, or empty for no Kafka"),
        ("KAFKA_TOPIC_PREFIX", "a b", "at most 200 letters, digits, '.', '_' and '-'"),
        ("EVENT_VALIDATION", "warn", "count or reject"),
        ("KAFKA_TOPICS", "", "a comma list of topics, each once"),
        ("KAFKA_TOPICS", "orders,orders", "a comma list of topics, each once"),
        ("KAFKA_TOPICS", "orders,..", "a comma list of topics, each once"),
        ("KAFKA_TOPICS", "webhook-events", "to which messages go out"),
        ("KAFKA_TOPICS", "notification-dead-letters", "to which messages go out"),
        ("EVENT_CATALOGUE", "no/such.yaml", "(OpenAPI 3.1 in JSON or YAML), or empty"),
        ("KAFKA_TOPIC_REPLICATION_FACTOR", "0", "a whole number from 1 to 32767"),
        ("KAFKA_CONSUMER_START", "end", "earliest or latest"),
        ("KAFKA_SECURITY_PROTOCOL", "ssl", "PLAINTEXT or SSL or SASL_PLAINTEXT or SASL_SSL"),
        ("KAFKA_SASL_MECHANISM", "GSSAPI", "PLAIN or SCRAM-SHA-256 or SCRAM-SHA-512"),
        ("KAFKA_SSL_KEY_LOCATION", "a\nb", "the path of a file, or empty"),
        ("PROJECT_MANAGEMENT_API_URI", "pm:8101", "an http or https URL without a query"),
        ("PROJECT_MANAGEMENT_API_URI", "http://pm/?a", "an http or https URL without a query"),
        ("WEBHOOKS_WRITE_TIMEOUT", "0", "a duration of at least 1ms"),
        ("WEBHOOKS_WRITE_TIMEOUT", "-1s", "numbers with units, such as 250ms"),
        ("WEBHOOKS_RETRY_BACKOFF", "0.9", "a number from 1 to 100"),
        ("WEBHOOKS_RETRY_BACKOFF", "nan", "a number from 1 to 100"),
        ("WEBHOOKS_SENDER", "curl", "auto or aiohttp or native"),
        ("WEBHOOKS_ALLOWED_NETWORKS", "10.0.0.0/8,far", "'far'"),
        ("WEBHOOKS_EGRESS_PROXY", "out.example:3128", "http://host:port"),
        ("WEBHOOKS_EGRESS_PROXY", "https://out.example:3128", "http://host:port"),
        ("WEBHOOKS_EGRESS_PROXY", "http://out.example", "http://host:port"),
        ("WEBHOOKS_EGRESS_PROXY", "http://out.example:99999", "http://host:port"),
        ("WEBHOOKS_EGRESS_PROXY", "http://user:word@", "http://user:password@host:port"),
        ("WEBHOOKS_ALLOWED_HOSTS", "a b", "a comma list of host names"),
        (SIGNATURE, "X Signature", "the name of an HTTP header"),
        (SIGNATURE, "Content-Type", "must not be a header that is sent anyway"),
        (TIMESTAMP, "Webhook-Timestamp", "must not be a header that is sent anyway"),
        (TIMESTAMP, "x-3DVERSE-signature", "must differ from 'X-3dverse-Signature'"),
        (TIMESTAMP, "X-3dverse-Signature-Key-Id", "must differ from 'X-3dverse-Signature'"),
        ("WEBHOOKS_LEASE", "10s", "must be longer than WEBHOOKS_WRITE_TIMEOUT"),
    ],
)
def test_refuses_and_says_what_is_accepted(variable: str, text: str, accepted: str) -> None:
    message = refusal(variable, text)
    assert message.startswith(variable)
    assert accepted in message


def test_tells_everything_that_is_wrong_at_once() -> None:
    told = refusals({"API_SERVER_PORT": "http", "TZ": "Mars", "DEBUG": "maybe", "ENV": "test"})
    assert set(told) == {"API_SERVER_PORT", "TZ", "DEBUG", "DB_ENCRYPTION_SECRET"}
    assert "'http'" in told["API_SERVER_PORT"]
    assert "'Mars'" in told["TZ"]


def test_the_lease_follows_the_write_timeout_unless_it_is_set() -> None:
    assert load(WEBHOOKS_WRITE_TIMEOUT="4s").webhooks.lease == timedelta(seconds=12)
    assert load(WEBHOOKS_LEASE="20s").webhooks.lease == timedelta(seconds=20)


def test_the_servers_listen_on_the_address_of_the_pod_unless_told_otherwise() -> None:
    settings = load(POD_IP="10.1.2.3", OPS_SERVER_HOST="0.0.0.0")  # noqa: S104 - nothing binds
    assert settings.api.server_host == "10.1.2.3"
    assert settings.ops.server_host == "0.0.0.0"  # noqa: S104 - nothing binds


def test_what_a_command_puts_instead_of_a_default_gives_way_to_an_empty_value() -> None:
    defaults = {"KAFKA_BROKERS": "", "WEBHOOKS_ALLOWED_NETWORKS": "127.0.0.0/8,::1/128"}
    loopback = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
    assert load_settings(REQUIRED, defaults).kafka.brokers == ()
    assert load_settings(REQUIRED, defaults).webhooks.allowed_networks == loopback
    emptied = REQUIRED | {"WEBHOOKS_ALLOWED_NETWORKS": ""}
    assert load_settings(emptied, defaults).webhooks.allowed_networks == ()


def test_a_command_can_bring_the_required_secret() -> None:
    assert load_settings({}, REQUIRED).db.encryption_secret == SECRET


def test_says_where_webhooks_may_be_sent() -> None:
    settings = load(
        WEBHOOKS_ALLOWED_NETWORKS="10.0.0.0/8",
        WEBHOOKS_ALLOWED_HOSTS="hooks.internal",
        WEBHOOKS_REQUIRE_HTTPS="true",
    )
    assert settings.webhooks.destinations == DestinationPolicy(
        (ip_network("10.0.0.0/8"),), ("hooks.internal",), require_https=True
    )


def test_says_how_the_signature_headers_are_called() -> None:
    settings = load(
        WEBHOOKS_PUBLIC_VERIFICATION_KEY_SIGNATURE_HEADER="X-Sig",
        WEBHOOKS_PUBLIC_VERIFICATION_KEY_SIGNATURE_TIMESTAMP_HEADER="X-Time",
        WEBHOOKS_STANDARD_SIGNATURE="false",
    )
    assert settings.webhooks.signature_headers == SignatureHeaders(
        "X-Sig", "X-Time", standard=False
    )


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_on_loopback_the_api_needs_no_word_on_who_may_call(host: str) -> None:
    assert is_loopback(host)
    settings = load(API_SERVER_HOST=host)
    check_exposure(settings)
    assert settings.api.auth == (Authentication.NONE,)


OPEN_HOSTS = ["0.0.0.0", "::", "10.1.2.3", "::ffff:127.0.0.1", "localhost.lan"]  # noqa: S104 - nothing binds


@pytest.mark.parametrize("host", OPEN_HOSTS)
def test_on_any_other_address_the_api_starts_only_when_told_how(host: str) -> None:
    with pytest.raises(InvalidSettings, match="API_AUTH must be set") as refused:
        check_exposure(load(API_SERVER_HOST=host))
    assert [detail.field for detail in refused.value.details] == ["API_AUTH"]
    assert host in str(refused.value)
    check_exposure(load(API_SERVER_HOST=host, API_AUTH="none"))


@pytest.mark.parametrize("secret", ["", SECRET[:-1], SECRET + "!", "\udcff" * 32])
def test_an_encryption_secret_has_exactly_32_characters(secret: str) -> None:
    message = refusal("DB_ENCRYPTION_SECRET", secret)
    assert message == (
        "DB_ENCRYPTION_SECRET must be set to exactly 32 characters, or what Vault made of them "
        "(vault:v1:…)"
    )
    if secret:
        refusal("DB_ENCRYPTION_PREVIOUS_SECRETS", secret)


@pytest.mark.parametrize("text", [f"{SECRET},", f"{SECRET};{FORMER}", f"{SECRET},{FORMER}x"])
def test_previous_secrets_are_separated_by_commas(text: str) -> None:
    message = refusal("DB_ENCRYPTION_PREVIOUS_SECRETS", text)
    assert SECRET not in message
    assert FORMER not in message


@pytest.mark.parametrize("key", ["x" * 31, "x" * 201, "x" * 31 + " ", "\u00e9" * 32])
def test_a_bootstrap_key_is_long_enough_and_fits_into_a_header(key: str) -> None:
    told = refusals(REQUIRED | {"API_AUTH": "api_key", "API_BOOTSTRAP_KEY": key})
    assert set(told) == {"API_BOOTSTRAP_KEY"}
    assert key not in told["API_BOOTSTRAP_KEY"]


def test_a_bootstrap_key_that_would_open_nothing_is_a_mistake() -> None:
    key = {"API_BOOTSTRAP_KEY": "x" * 32}
    for auth in ({}, {"API_AUTH": "none"}):
        assert set(refusals(REQUIRED | key | auth)) == {"API_AUTH"}
    assert load(API_AUTH="api_key", **key).api.bootstrap_key == "x" * 32


def test_tokens_are_accepted_only_where_it_is_said_whose() -> None:
    needed = {"API_JWT_ISSUER": "i", "API_JWT_AUDIENCE": "a", "API_JWT_JWKS_URL": "https://i/k"}
    assert load(API_AUTH="api_key,jwt", **needed).api.auth[1] is Authentication.JWT
    for name in needed:
        some = {other: value for other, value in needed.items() if other != name}
        assert set(refusals(REQUIRED | some | {"API_AUTH": "jwt"})) == {name}


def test_no_secret_is_shown() -> None:
    environ = REQUIRED | {
        "DB_AUTH_PASS": "hunter2",
        "DB_ENCRYPTION_PREVIOUS_SECRETS": FORMER,
        "DB_URI": "postgresql://me:hunter2@db:5432/n?password=hunter2",
        "PROJECT_MANAGEMENT_API_URI": "https://me:hunter2@pm/api",
    }
    settings = load_settings(environ)
    shown = repr(settings) + "".join(str(each) for each in describe(settings, environ))
    for secret in ("hunter2", SECRET, FORMER):
        assert secret not in shown
    assert "postgresql://***@db:5432/n" in shown
    assert "https://***@pm/api" in shown


@pytest.mark.parametrize(
    "uri",
    [
        "postgres://me:hunter2@db/n",
        "postgresql//me:hunter2@db/n",
        "me:hunter2@db:5432",
        "postgresql://me:a/hunter2@b c",
        "host=db password=hunter2",
    ],
)
def test_a_refused_uri_does_not_give_its_password_away(uri: str) -> None:
    assert "hunter2" not in refusal("DB_URI", uri)


def test_a_refusal_stays_readable_whatever_the_value() -> None:
    assert len(refusal("API_SERVER_PORT", "9" * 100_000)) < 400


def test_a_sasl_protocol_wants_a_user() -> None:
    told = refusals(REQUIRED | {"KAFKA_SECURITY_PROTOCOL": "SASL_SSL"})
    assert told == {
        "KAFKA_SASL_USERNAME": "KAFKA_SASL_USERNAME must be set, because KAFKA_SECURITY_PROTOCOL "
        "is SASL_SSL"
    }
    assert load(KAFKA_SECURITY_PROTOCOL="SASL_SSL", KAFKA_SASL_USERNAME="alice").kafka.topic_names


def test_without_brokers_there_are_no_topics() -> None:
    assert load(KAFKA_TOPIC_PREFIX="acme.").kafka.topic_names == Topics("acme.")
    assert load(KAFKA_TOPICS="orders").kafka.topic_names == Topics(events=("orders",))
    with pytest.raises(InvalidSettings, match="of 250 characters, but 249 are the most"):
        load(KAFKA_TOPIC_PREFIX="a" * 200, KAFKA_TOPICS="b" * 50)
    assert load(KAFKA_BROKERS="").kafka.topic_names is None


def test_describes_each_setting_and_where_it_comes_from() -> None:
    environ = REQUIRED | {"WEBHOOKS_WRITE_TIMEOUT": "1500ms", "KAFKA_BROKERS": ""}
    described = {each.variable: each for each in describe(load_settings(environ), environ)}
    assert set(described) == set(DEFAULTS)
    assert described["WEBHOOKS_WRITE_TIMEOUT"].value == "1s500ms"
    assert described["WEBHOOKS_WRITE_TIMEOUT"].origin is SettingOrigin.ENVIRONMENT
    assert described["KAFKA_BROKERS"].value == ""
    assert described["KAFKA_BROKERS"].origin is SettingOrigin.ENVIRONMENT
    assert described["WEBHOOKS_LEASE"].value == "4s500ms"
    assert described["WEBHOOKS_LEASE"].origin is SettingOrigin.DEFAULT
    assert described["DB_ENCRYPTION_SECRET"].value == "***"
    assert described["DB_AUTH_PASS"].value == ""
    assert described["DEBUG"].value == "false"


def test_what_is_described_can_be_set_and_is_the_same() -> None:
    described = describe(load(), REQUIRED)
    settings = load_settings({each.variable: each.value for each in described} | REQUIRED)
    assert settings == load()


@given(st.dictionaries(st.sampled_from(sorted(DEFAULTS)), st.text(max_size=40)))
def test_any_environment_is_read_or_refused_with_the_names_of_its_variables(
    environ: dict[str, str],
) -> None:
    named = set()
    try:
        load_settings(environ, REQUIRED)
    except InvalidSettings as refused:
        named = {detail.field for detail in refused.details}
    assert named <= set(environ)


def test_loading_reads_no_environment_but_the_given_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_SERVER_PORT", "1")
    assert load().api.server_port == 3615


def test_a_secret_can_be_in_a_file_that_a_variable_names(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(f"{SECRET}\n")
    environ = {"DB_ENCRYPTION_SECRET_FILE": str(file)}
    settings = load_settings(environ, {"DB_ENCRYPTION_SECRET": "0" * 32})
    assert settings.db.encryption_secret == SECRET
    described = {each.variable: each for each in describe(settings, environ)}
    assert described["DB_ENCRYPTION_SECRET"].origin is SettingOrigin.FILE
    assert SECRET not in str(described)


@pytest.mark.parametrize("content", [b"\xff" * 32, b"x" * 70_000, None])
def test_a_secret_file_that_gives_none_names_the_variable_and_not_what_it_says(
    tmp_path: Path, content: bytes | None
) -> None:
    file = tmp_path / "whispered"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(InvalidSettings) as refused:
        load_settings({"DB_ENCRYPTION_SECRET_FILE": str(file)})
    (problem,) = refused.value.details
    assert problem.field == "DB_ENCRYPTION_SECRET_FILE"
    assert problem.message.startswith("DB_ENCRYPTION_SECRET_FILE must name a file")
    assert "whispered" not in str(refused.value)


def test_a_file_that_holds_a_wrong_secret_is_told_by_its_variable(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("whispered")
    with pytest.raises(InvalidSettings, match=r"DB_ENCRYPTION_SECRET must be set") as refused:
        load_settings({"DB_ENCRYPTION_SECRET_FILE": str(file)})
    assert "whispered" not in str(refused.value)


def test_a_secret_and_its_file_are_not_both_taken(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(SECRET)
    with pytest.raises(InvalidSettings, match="both set") as refused:
        load_settings(REQUIRED | {"DB_ENCRYPTION_SECRET_FILE": str(file)})
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize("name", ["DB_AUTH_PASS", "DB_ENCRYPTION_PREVIOUS_SECRETS"])
def test_every_secret_can_be_in_a_file_and_nothing_else(tmp_path: Path, name: str) -> None:
    file = tmp_path / "secret"
    file.write_text(SECRET)
    settings = load_settings(REQUIRED | {f"{name}_FILE": str(file)})
    assert SECRET in str(value_of(settings, name))
    assert load_settings(REQUIRED | {"ENV_FILE": str(file)}).env == "development"


ENVRC = Path(__file__).parents[3] / ".envrc"


def test_the_development_values_change_nothing_for_any_command() -> None:
    lines = ENVRC.read_text().splitlines()
    exports = [line.removeprefix("export ") for line in lines if line.startswith("export ")]
    environ = dict(line.split("=", 1) for line in exports)
    assert environ.keys() <= variables().keys()
    differ_by_command = {"DB_URI", "KAFKA_BROKERS", "PROJECT_MANAGEMENT_API_URI"}
    assert not environ.keys() & {*differ_by_command, *REQUIRED, "WEBHOOKS_ALLOWED_NETWORKS"}
    assert load_settings(REQUIRED | environ) == load_settings(REQUIRED)
