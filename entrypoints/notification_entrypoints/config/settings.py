"""The settings: environment variables, read once into one frozen value.

They are in groups by the beginning of their variables' names: ``settings.db.uri`` is DB_URI. An
empty value is a value.
"""

# ruff: noqa: RUF009 - the calls in the class body make attrs fields, as attrs.field() does

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from functools import cache
from types import MappingProxyType
from urllib.parse import urlsplit
from uuid import UUID
from zoneinfo import ZoneInfo

from attrs import frozen

from notification_core.errors import Detail, InvalidSettings
from notification_core.model.durations import format_duration
from notification_core.signing.signatures import SignatureHeaders
from notification_entrypoints.config.console_settings import ConsoleSettings
from notification_entrypoints.config.groups import (
    ApiSettings,
    DbSettings,
    EventSettings,
    KafkaSettings,
    OpsSettings,
    RetentionSettings,
    WebhookSettings,
)
from notification_entrypoints.config.parsers import (
    ADDRESS,
    BASE_URL,
    DELAY,
    ENVIRONMENT_ID,
    SHUTDOWN_DELAY,
    TEXT,
    TRUTH,
    ZONE,
    Authentication,
    is_loopback,
    is_wrapped,
)
from notification_entrypoints.config.tracing import OtelSettings
from notification_entrypoints.config.variables import (
    Variable,
    build,
    derived,
    file_variable,
    group,
    read_secret_files,
    required_group,
    setting,
    variables_of,
)

_NO_DEFAULTS: Mapping[str, str] = MappingProxyType({})
_SENT_ANYWAY = frozenset(
    {"accept-encoding", "connection", "content-length", "content-type"}
    | {"host", "transfer-encoding", "user-agent"}
)
_MAX_TOPIC_LENGTH = 249  # what brokers take
_MAX_SHOWN = 40
_SIGNATURE = "WEBHOOKS_PUBLIC_VERIFICATION_KEY_SIGNATURE_HEADER"
_TIMESTAMP = "WEBHOOKS_PUBLIC_VERIFICATION_KEY_SIGNATURE_TIMESTAMP_HEADER"


@frozen(kw_only=True)
class Settings:
    """All settings, checked; secrets are masked in its repr."""

    env: str = setting(TEXT, "development", "The name of the deployment, shown by /info.")
    debug: bool = setting(
        TRUTH,
        "false",
        "Log more; show administrators the cause of errors, and serve /debug/ to them and on "
        "loopback.",
    )
    tz: ZoneInfo = setting(
        ZONE, "America/Montreal", "The zone of log timestamps and of dates without an offset."
    )
    pod_ip: str = setting(
        ADDRESS, "127.0.0.1", "The address of this instance, which its servers listen on."
    )
    pod_name: str = setting(
        TEXT,
        "localhost",
        "The name of this instance, in logs, metrics, /info and the log of attempts, and to a "
        "PostgreSQL server.",
    )
    startup_timeout: timedelta = derived(
        DELAY,
        "0s if ENV is development, else 5m",
        "How long a server waits at its start for a database or a Vault that is unreachable, "
        "before it exits.",
        lambda self: timedelta(0) if self.is_development else timedelta(minutes=5),
    )
    shutdown_delay: timedelta = derived(
        SHUTDOWN_DELAY,
        "0s if ENV is development, else 5s",
        "How long the API still accepts requests after SIGTERM, so that load balancers see that "
        "`/readyz` fails before connections are refused.",
        lambda self: timedelta(0) if self.is_development else timedelta(seconds=5),
    )
    api: ApiSettings = group(ApiSettings, lambda self: ApiSettings(server_host=self.pod_ip))
    ops: OpsSettings = group(OpsSettings, lambda self: OpsSettings(server_host=self.pod_ip))
    console: ConsoleSettings = group(ConsoleSettings, lambda _: ConsoleSettings())
    db: DbSettings = required_group(DbSettings)
    event: EventSettings = group(EventSettings, lambda _: EventSettings())
    retention: RetentionSettings = group(RetentionSettings, lambda _: RetentionSettings())
    kafka: KafkaSettings = group(KafkaSettings, lambda _: KafkaSettings())
    project_management_api_uri: str | None = setting(
        BASE_URL, "http://localhost:8101/api", "Who knows the environments; empty for no check."
    )
    operational_webhook_environment: UUID | None = setting(
        ENVIRONMENT_ID,
        "",
        "The environment whose webhooks can subscribe to operational events, such as that a "
        "webhook was disabled; empty for none.",
    )
    webhooks: WebhookSettings = group(WebhookSettings, lambda _: WebhookSettings())
    otel: OtelSettings = group(OtelSettings, lambda _: OtelSettings())

    @property
    def is_development(self) -> bool:
        """Tell whether this runs on a developer's machine, where nothing should wait."""
        return self.env == "development"


@cache
def variables() -> Mapping[str, Variable]:
    """Return what is known of each variable, by its name."""
    return MappingProxyType(dict(variables_of(Settings)))


def load_settings(
    environ: Mapping[str, str], defaults: Mapping[str, str] = _NO_DEFAULTS
) -> Settings:
    """Read the settings; ``defaults`` stand for variables that are not set at all.

    Raises :class:`InvalidSettings`, which tells everything that is wrong at once.
    """
    files = read_secret_files(
        environ, (name for name, variable in variables().items() if variable.secret)
    )
    texts = {**defaults, **environ, **files.texts}
    values: dict[str, object] = {}
    problems = list(files.problems)
    refused = {detail.field for detail in problems}
    for name, variable in variables().items():
        is_required = variable.default is None
        if file_variable(name) in refused or not (name in texts or is_required):
            continue
        text = texts.get(name, "")
        try:
            values[name] = variable.parser.parse(text)
        except ValueError as error:
            problems.append(variable.refusal(name, text, error))
    _refuse(problems)
    settings = build(Settings, values)
    _refuse(list(_contradictions(settings)))
    return settings


def check_exposure(settings: Settings) -> None:
    """Refuse an API on a network without authentication, and one on the ops server's port.

    Raises :class:`InvalidSettings`, which names the variable.
    """
    if not settings.api.auth:
        accepted = variables()["API_AUTH"].parser.accepts
        problem = (
            f"API_AUTH must be set, because the API would listen on {settings.api.server_host}, "
            f"which is not a loopback address; accepted is {accepted}"
        )
        _refuse([Detail("API_AUTH", problem)])
    port = settings.api.server_port
    if port and port == settings.ops.server_port:
        problem = (
            f"API_SERVER_PORT and OPS_SERVER_PORT are both {port}: the API and the ops server "
            "cannot share a port"
        )
        _refuse([Detail("OPS_SERVER_PORT", problem)])


def _refuse(problems: Sequence[Detail]) -> None:
    if problems:
        problem_text = "; ".join(problem.message for problem in problems)
        raise InvalidSettings(f"The settings are refused: {problem_text}.", problems)


def _contradictions(settings: Settings) -> Iterator[Detail]:
    """Yield what is wrong with settings that are right each on its own."""
    if settings.webhooks.lease <= settings.webhooks.write_timeout:
        written = format_duration(settings.webhooks.lease)
        problem = f"WEBHOOKS_LEASE is {written!r}, but must be longer than WEBHOOKS_WRITE_TIMEOUT"
        yield Detail("WEBHOOKS_LEASE", problem)
    if settings.kafka.security_protocol.authenticates and not settings.kafka.sasl_username:
        protocol = settings.kafka.security_protocol
        problem = f"KAFKA_SASL_USERNAME must be set, because KAFKA_SECURITY_PROTOCOL is {protocol}"
        yield Detail("KAFKA_SASL_USERNAME", problem)
    yield from _topic_contradictions(settings.kafka)
    yield from _header_contradictions(settings.webhooks.signature_headers)
    yield from _authentication_contradictions(settings)
    yield from _vault_contradictions(settings)


def _topic_contradictions(kafka: KafkaSettings) -> Iterator[Detail]:
    if (topics := kafka.topic_names) is None:
        return
    for name in topics.sources:
        if name in {topics.dead_letters, topics.operational_events}:
            problem = f"KAFKA_TOPICS has {name!r}, to which messages go out: take another one"
            yield Detail("KAFKA_TOPICS", problem)
        elif len(name) > _MAX_TOPIC_LENGTH:
            shown = f"{name[:_MAX_SHOWN]}…"
            problem = (
                f"KAFKA_TOPICS and KAFKA_TOPIC_PREFIX make {shown!r} of {len(name)} characters, "
                f"but {_MAX_TOPIC_LENGTH} are the most"
            )
            yield Detail("KAFKA_TOPICS", problem)


def _authentication_contradictions(settings: Settings) -> Iterator[Detail]:
    if Authentication.NONE in settings.api.auth and len(settings.api.auth) > 1:
        problem = "API_AUTH is none and more: with none, authentication is disabled"
        yield Detail("API_AUTH", problem)
    if Authentication.JWT in settings.api.auth:
        needed = {
            "API_JWT_ISSUER": settings.api.jwt_issuer,
            "API_JWT_AUDIENCE": settings.api.jwt_audience,
            "API_JWT_JWKS_URL": settings.api.jwt_jwks_url,
        }
        for name in (name for name, value in needed.items() if not value):
            yield Detail(name, f"{name} must be set if API_AUTH has jwt")
    if settings.api.bootstrap_key and Authentication.API_KEY not in settings.api.auth:
        problem = "API_BOOTSTRAP_KEY is set, but no API key is accepted: add api_key to API_AUTH"
        yield Detail("API_AUTH", problem)


def _vault_contradictions(settings: Settings) -> Iterator[Detail]:
    name = "DB_ENCRYPTION_VAULT_URI"
    parts = urlsplit(settings.db.encryption_vault_uri)
    if not parts.scheme and any(map(is_wrapped, settings.db.encryption_secrets)):
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
