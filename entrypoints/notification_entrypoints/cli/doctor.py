"""``doctor``: settings, and what a server needs of its surroundings, checked before a start."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import click
from attrs import frozen
from rich.text import Text

from notification_core.errors import Detail, InvalidSettings
from notification_entrypoints.cli.options import config_option, environment_of, examples
from notification_entrypoints.cli.tables import printable
from notification_entrypoints.cli.terminal import json_option, output, print_json, run, show_table
from notification_entrypoints.commands.doctor import CheckResult, Verdict, run_checks
from notification_entrypoints.commands.exit_codes import Exit
from notification_entrypoints.config.databases import (
    embedded_database,
    existing_up_defaults,
    secret_path,
)
from notification_entrypoints.config.report import (
    SettingReport,
    UnknownVariable,
    describe,
    unknown_variables,
)
from notification_entrypoints.config.settings import Settings, check_exposure, load_settings

_SECRET = "DB_ENCRYPTION_SECRET"  # noqa: S105 - a variable's name
_TO_BE_MADE = "?" * 32  # stands for a secret that is not there yet: never shown
_MARKS = {
    Verdict.OK: ("✓", "green"),
    Verdict.WARNING: ("!", "yellow"),
    Verdict.FAILED: ("✗", "red"),
}
_SETTINGS_CHECK = "settings"


@frozen
class _Found:
    """What the environment says; without settings if they are refused."""

    loaded: Settings | None
    settings: Sequence[SettingReport]
    problems: Sequence[Detail]
    unknown: Sequence[UnknownVariable]
    to_be_made: Path | None

    def value(self, setting: SettingReport) -> str:
        """Return a setting's value as it may be shown."""
        if setting.variable == _SECRET and self.to_be_made:
            return f"made at the first start, in {self.to_be_made.name}"
        return setting.value

    def results(self) -> Sequence[CheckResult]:
        """Return what is wrong with the settings; else that nothing is."""
        warnings = [
            CheckResult(_SETTINGS_CHECK, Verdict.WARNING, variable.message)
            for variable in self.unknown
        ]
        failures = [
            CheckResult(_SETTINGS_CHECK, Verdict.FAILED, f"{problem.message}.")
            for problem in self.problems
        ]
        well = f"All {len(self.settings)} settings are valid; --settings shows them."
        return [*warnings, *(failures or [CheckResult(_SETTINGS_CHECK, Verdict.OK, well)])]


@click.command(
    "doctor",
    epilog=examples(
        "doctor",
        "doctor --for migrate --config settings.env",
        "doctor --json | jq '.settings[] | select(.from == \"environment\")'",
    ),
)
@click.option(
    "--for",
    "starts",
    type=click.Choice(["up", "api", "consumer", "migrate"]),
    default="up",
    show_default=True,
    help="The command that is to be started.",
)
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder that `up` is given.",
)
@click.option("--settings", "shows_settings", is_flag=True, help="Show each setting as well.")
@config_option
@json_option
def command(
    starts: str, data: Path | None, *, shows_settings: bool, as_json: bool, **options: object
) -> int:
    """Check settings, storage, clock, Kafka, DNS, ports and limits; start and change nothing.

    What is not well is shown with what to do. With --settings each setting is shown with where it
    comes from: the environment, a NAME_FILE, the command's own default, or the default. Secrets are
    masked.
    """
    environ = environment_of(os.environ, options)
    found = _read(environ, data or Path(), starts)
    results = list(found.results())
    if found.loaded and not found.problems:
        results += run(_surroundings(found.loaded))
    verdicts = {result.verdict for result in results}
    if as_json:
        _print_json(found, results)
    else:
        if shows_settings:
            rows = [(s.variable, found.value(s), s.origin.value, s.meaning) for s in found.settings]
            show_table(("variable", "value", "from", "meaning"), rows, "")
        width = max(len(result.check) for result in results)
        for result in results:
            mark, colour = _MARKS[result.verdict]
            text = f"  {result.check:<{width}}  {printable(result.message)}"
            output().print(Text.assemble((mark, colour), text))
    if found.problems:
        return Exit.SETTINGS
    return Exit.UNAVAILABLE if Verdict.FAILED in verdicts else Exit.OK


async def _surroundings(settings: Settings) -> Sequence[CheckResult]:
    return [result async for result in run_checks(settings)]


def _read(environ: Mapping[str, str], folder: Path, starts: str) -> _Found:
    is_up = starts == "up"
    database = embedded_database(folder, environ) if is_up else None
    to_be_made = secret_path(database) if database else None
    if to_be_made and to_be_made.exists():
        to_be_made = None
    defaults = existing_up_defaults(folder, environ) if is_up else {}
    if to_be_made:
        defaults = {**defaults, _SECRET: _TO_BE_MADE}
    settings: Sequence[SettingReport] = ()
    problems: Sequence[Detail] = ()
    loaded: Settings | None = None
    try:
        loaded = load_settings(environ, defaults)
        settings = tuple(describe(loaded, environ, defaults))
        if starts in {"up", "api"}:
            check_exposure(loaded)
    except InvalidSettings as error:
        problems = error.details
    return _Found(loaded, settings, problems, tuple(unknown_variables(environ)), to_be_made)


def _print_json(found: _Found, results: Sequence[CheckResult]) -> None:
    print_json(
        {
            "ok": all(result.verdict is not Verdict.FAILED for result in results),
            "checks": [
                {"check": result.check, "verdict": result.verdict, "message": result.message}
                for result in results
            ],
            "settings": [
                {
                    "variable": setting.variable,
                    "value": found.value(setting),
                    "from": setting.origin.value,
                    "meaning": setting.meaning,
                }
                for setting in found.settings
            ],
            "problems": [
                {"variable": problem.field, "message": problem.message}
                for problem in found.problems
            ],
            "unknown": [
                {"variable": variable.name, "meant": variable.nearest} for variable in found.unknown
            ],
        }
    )
