"""The settings as they are shown to people: where each comes from, secrets masked."""

from collections.abc import Iterator, Mapping
from enum import Enum
from types import MappingProxyType

from attrs import frozen

from notification_entrypoints.config.secret_files import file_variable
from notification_entrypoints.config.settings import Settings, variables

_NO_DEFAULTS: Mapping[str, str] = MappingProxyType({})


class Origin(Enum):
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
    origin: Origin
    meaning: str


def describe(
    settings: Settings, environ: Mapping[str, str], defaults: Mapping[str, str] = _NO_DEFAULTS
) -> Iterator[SettingReport]:
    """Tell of each setting what it is, where that comes from and what it means.

    ``environ`` and ``defaults`` are what the settings were loaded from.
    """
    for name, variable in variables().items():
        value = variable.show(getattr(settings, name.lower()))
        yield SettingReport(name, value, _origin(name, environ, defaults), variable.meaning)


def _origin(name: str, environ: Mapping[str, str], defaults: Mapping[str, str]) -> Origin:
    if name in environ:
        return Origin.ENVIRONMENT
    if variables()[name].secret and file_variable(name) in environ:
        return Origin.FILE
    return Origin.COMMAND if name in defaults else Origin.DEFAULT
