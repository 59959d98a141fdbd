"""The report of settings: where each comes from, secrets masked; and typos in their names."""

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from enum import Enum
from types import MappingProxyType

from attrs import frozen

from notification_entrypoints.config.settings import Settings, variables
from notification_entrypoints.config.variables import file_variable, value_of

_NO_DEFAULTS: Mapping[str, str] = MappingProxyType({})
_PREFIXES = (
    *("API_", "DB_", "EVENT_", "KAFKA_", "OPS_SERVER_", "PROJECT_MANAGEMENT_API_", "RETENTION_"),
    *("SHUTDOWN_", "STARTUP_", "WEBHOOKS_"),
)
# What only looks like one of ours: a name is noted if a setting's is nearly the same.
_NEAR_PREFIXES = ("EVENTS_", "OPS_", "PROJECT_", "WEBHOOK_")
_VERY_CLOSE = 0.85
# What Kubernetes injects for a Service called api or db: no user wrote it, so it is not a typo.
_SERVICE_LINK = re.compile(
    r".+_(SERVICE_HOST|SERVICE_PORT(_.+)?|PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)"
)
_SERVICE_ADDRESS = re.compile(r"(tcp|udp|sctp)://.*")


class SettingOrigin(Enum):
    """Where a setting's value comes from."""

    ENVIRONMENT = "environment"
    FILE = "file"
    COMMAND = "command"
    DEFAULT = "default"


@frozen
class SettingReport:
    """One setting as it is shown to people: a secret is masked."""

    variable: str
    value: str
    origin: SettingOrigin
    meaning: str


def describe(
    settings: Settings, environ: Mapping[str, str], defaults: Mapping[str, str] = _NO_DEFAULTS
) -> Iterator[SettingReport]:
    """Tell of each setting what it is, where that comes from and what it means.

    ``environ`` and ``defaults`` are what the settings were loaded from.
    """
    for name, variable in variables().items():
        origin = SettingOrigin.COMMAND if name in defaults else SettingOrigin.DEFAULT
        if name in environ:
            origin = SettingOrigin.ENVIRONMENT
        elif variable.secret and file_variable(name) in environ:
            origin = SettingOrigin.FILE
        value = variable.show(value_of(settings, name))
        yield SettingReport(name, value, origin, variable.meaning)


@frozen
class UnknownVariable:
    """A variable that is set and is not a setting; ``nearest`` is the one that may be meant."""

    name: str
    nearest: str | None

    @property
    def message(self) -> str:
        """A warning for the user who set it."""
        hint = f"; did you mean {self.nearest}?" if self.nearest else "."
        return f"{self.name} is set, but is not a setting{hint}"


def unknown_variables(environ: Mapping[str, str]) -> Iterator[UnknownVariable]:
    """Yield what begins as our settings do and is none of them, by name."""
    settings = set(variables())
    settings |= {file_variable(name) for name, variable in variables().items() if variable.secret}
    for name in sorted(environ.keys() - settings):
        is_service_link = _SERVICE_LINK.fullmatch(name) or _SERVICE_ADDRESS.fullmatch(environ[name])
        if is_service_link:
            continue
        if name.startswith(_PREFIXES):
            prefix = name.partition("_")[0] + "_"
            alike = [each for each in settings if each.startswith(prefix)]
            yield UnknownVariable(name, next(iter(get_close_matches(name, alike, n=1)), None))
        elif name.startswith(_NEAR_PREFIXES):
            for nearest in get_close_matches(name, settings, n=1, cutoff=_VERY_CLOSE):
                yield UnknownVariable(name, nearest)
