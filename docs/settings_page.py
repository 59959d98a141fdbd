"""The page of the variables: what each means, and where it takes effect, read off the code."""

import ast
import inspect
import textwrap
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from importlib.resources import files
from pathlib import Path
from typing import Any, cast

from attrs import fields

from notification_entrypoints.config.settings import Settings, variables
from notification_entrypoints.config.variables import Variable

GROUPS = {
    "API": "The API server",
    "OPS": "The ops server",
    "DB": "Storage",
    "EVENT": "Events",
    "OPERATIONAL": "Events",
    "WEBHOOKS": "Deliveries",
    "RETENTION": "Retention",
    "KAFKA": "Kafka",
    "CONSOLE": "The console and the portal",
    "OTEL": "Tracing",
    "PROJECT": "The platform",
}

# What an installation on servers sets before anything else: an example, and what to know of it.
FIRST: Mapping[str, tuple[str, str]] = {
    "DB_URI": (
        "db.example.com:5432",
        (
            "Where everything is stored. User and password can be set apart "
            "(`DB_AUTH_USER`, `DB_AUTH_PASS_FILE`)."
        ),
    ),
    "DB_ENCRYPTION_SECRET": (
        "$(openssl rand -hex 16)",
        (
            "Generate it once and back it up: without it nothing that is "
            "encrypted can be read. `DB_ENCRYPTION_SECRET_FILE` reads it from a mounted file."
        ),
    ),
    "API_AUTH": (
        "api_key",
        (
            "How callers authenticate: required if the API listens on anything but loopback. "
            "`API_BOOTSTRAP_KEY` is the key that creates the others."
        ),
    ),
    "KAFKA_BROKERS": (
        "kafka.example.com:9092",
        "Where `consumer` reads events. Empty if events are only published over HTTP.",
    ),
    "PROJECT_MANAGEMENT_API_URI": (
        "https://projects.example.com/api",
        (
            "The service that says whether an environment exists. Empty if you do not have one: "
            "any UUID is an environment then."
        ),
    ),
}

# Who does what is named. A use of a setting at a place that is missing here fails
# `nox -s generate`: somebody has to say what it is.
COMMANDS: Mapping[str, str] = {
    "the API": "`up`, `api`",
    "taking events in": "`up`, `api`, `consumer`",
    "taking events from Kafka": "`consumer`; `up` where `KAFKA_BROKERS` is set",
    "sending": "`up`, `consumer`",
    "maintenance": "`up`, `consumer`",
    "tracing": "`up`, `api`, `consumer`",
    "the ops server": "`up`, `api`, `consumer`",
    "the log": "all",
    "the storage": "all that open the database",
    "the console": "`up`, `api`",
    "replaying dead letters": "`up`, `api`, `dead-letters`",
}
PLACES: Mapping[str, str] = {
    "api": "the API",
    "bootstrap.application.cursor_key": "the storage",
    "bootstrap.application.open_application": "the API",
    "bootstrap.application._open_dispatcher": "sending",
    "bootstrap.application._open_ingests": "taking events in",
    "bootstrap.application._open_environments": "the API",
    "bootstrap.application._open_runtime": "sending",
    "bootstrap.application._open_webhook_tester": "sending",
    "bootstrap.application.data_validation": "taking events in",
    "bootstrap.authentication": "the API",
    "bootstrap.dead_letters": "replaying dead letters",
    "bootstrap.http_sender": "sending",
    "bootstrap.kafka": "taking events from Kafka",
    "bootstrap.operational_events": "sending",
    "bootstrap.sessions": "the console",
    "bootstrap.storage": "the storage",
    "bootstrap.tracer": "tracing",
    "commands.consumer": "taking events from Kafka",
    "commands.up": "the storage",
    "config.databases": "the storage",
    "config.policies.delivery_rules": "sending",
    "config.policies.dispatch_rules": "sending",
    "config.policies.retention_rules": "maintenance",
    "config.policies.reaper_rules": "maintenance",
    "config.policies.webhook_rules": "the API",
    "config.policies.event_catalogues": "the API",
    "config.wrapped_secrets": "the storage",
    "console": "the console",
    "embedded": "the API",
    "embedded.event": "taking events in",
    "ops.debug": "the ops server",
    "process.open_files": "the API",
    "process.open_files._needed": "sending",
    "process.run": "the log",
    "process.run.run_command": "the storage",
    "process.runtime": "the ops server",
    "process.runtime.api_bind": "the API",
    "process.serve_api": "the API",
    "process.supervisor.aggregate": "the ops server",
    "process.supervisor.supervisor": "the ops server",
}
"""What is done in a package, in a module, or in one function of it."""

_PACKAGE = Path(str(files("notification_entrypoints")))
_SETTINGS = ("config.settings", "config.groups")
_GROUP_CLASSES: Mapping[str, type] = {
    attribute.name: attribute.metadata["group"]
    for attribute in fields(Settings)
    if "group" in attribute.metadata
}
_HOLDERS = frozenset(
    {"settings", "chosen", "self._settings"}
    | {f"{holder}.settings" for holder in ("application", "runtime", "self", "self._application")}
)


def settings_page() -> Sequence[str]:
    """Return the parts of the page."""
    parts = [
        "# Settings",
        (
            "All settings are environment variables, read once at the start. A value that is not "
            "understood stops the start: the message names the variable and what it accepts. "
            "Durations are written as `250ms`, `1m30s` or `2h`."
        ),
        (
            "`up` does not need any of them. Its defaults are a SQLite file in the current folder "
            "(`DB_URI`), a secret that it generates and stores next to that file "
            "(`DB_ENCRYPTION_SECRET`), no Kafka, no lookup of environments, and webhooks that may "
            "reach loopback (`WEBHOOKS_ALLOWED_NETWORKS`) if the API listens on loopback and "
            "authentication is disabled."
        ),
    ]
    known, places = variables(), _places()
    parts += _first()
    of_group: dict[str, list[str]] = {title: [] for title in ("This process", *GROUPS.values())}
    for name in known:
        of_group[GROUPS.get(name.partition("_")[0], "This process")].append(name)
    for group, names in of_group.items():
        if names:
            parts.append(f"## {group}")
            parts += [_variable(name, known[name], places[name.lower()]) for name in names]
    return parts


def _first() -> list[str]:
    return [
        "## The five to set first",
        "`api`, `consumer` and `migrate` need these on a server; the defaults suit the rest.",
        *(
            f"`{name}`\n: {meaning} For example `{example}`."
            for name, (example, meaning) in FIRST.items()
        ),
    ]


def _variable(name: str, variable: Variable, places: AbstractSet[str]) -> str:
    if not places:
        raise SystemExit(f"{name} is read nowhere: it has no effect.")
    match variable.default:
        case None:
            default = "Must be set."
        case "":
            default = "Default: empty."
        case text:
            default = f"Default: `{text}`." if " " not in text else f"Default: {text}."
    secret = f" Secret: never shown; `{name}_FILE` names a file to read it from instead."
    where = "; ".join(f"{place} ({COMMANDS[place]})" for place in COMMANDS if place in places)
    return (
        f"`{name}`\n: {variable.meaning} {default}{secret if variable.secret else ''}\n"
        f"  Accepts {variable.parser.accepts}.\n  Takes effect in {where}."
    )


def _places() -> Mapping[str, AbstractSet[str]]:
    """Return of each setting's attribute where it is read."""
    known = {name.lower() for name in variables()}
    derived = dict(_derived())
    found: dict[str, set[str]] = defaultdict(set)
    for path in sorted(_PACKAGE.rglob("*.py")):
        module = ".".join(path.relative_to(_PACKAGE).with_suffix("").parts)
        if module not in _SETTINGS:
            for function, attribute in _reads(path):
                for name in known & derived.get(attribute, {attribute}):
                    found[name].add(_place(module, function))
    return found


def _derived() -> Iterator[tuple[str, AbstractSet[str]]]:
    """Yield what the groups make of several of their variables, and of which."""
    for group, kind in _GROUP_CLASSES.items():
        for name, made in vars(kind).items():
            if isinstance(made, property):
                tree = ast.parse(textwrap.dedent(inspect.getsource(cast("Any", made.fget))))
                yield (
                    f"{group}_{name}",
                    {f"{group}_{node.attr}" for node in _attributes(tree, {"self"})},
                )


def _reads(path: Path) -> Iterator[tuple[str, str]]:
    """Yield each reading of a setting, by its variable in lower case, with the function around."""
    for function in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            for node in _attributes(function, _HOLDERS):
                yield function.name, node.attr
            for group in _GROUP_CLASSES:
                for node in _attributes(function, {f"{holder}.{group}" for holder in _HOLDERS}):
                    yield function.name, f"{group}_{node.attr}"


def _attributes(tree: ast.AST, holders: AbstractSet[str]) -> Iterator[ast.Attribute]:
    """Yield each reading of an attribute of these."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in holders:
            yield node


def _place(module: str, function: str) -> str:
    package = module.partition(".")[0]
    place = PLACES.get(f"{module}.{function}") or PLACES.get(module) or PLACES.get(package)
    if place is None:
        raise SystemExit(f"Say in docs/settings_page.py what {module}.{function} does.")
    return place
