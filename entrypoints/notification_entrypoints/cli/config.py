"""``config check``: all settings, where each comes from, and what is wrong with them."""

import os
from collections.abc import Mapping
from pathlib import Path

import click
from attrs import frozen

from notification_core.errors import Detail, InvalidSettings
from notification_entrypoints.cli.options import examples
from notification_entrypoints.cli.tables import printable
from notification_entrypoints.cli.terminal import (
    json_option,
    messages,
    note,
    output,
    print_json,
    show_table,
)
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
from notification_entrypoints.config.settings import check_exposure, load_settings

_SECRET = "DB_ENCRYPTION_SECRET"  # noqa: S105 - a variable's name
_TO_BE_MADE = "?" * 32  # stands for a secret that is not there yet: never shown


@frozen
class _Findings:
    """What a look at the environment found; without settings where they are refused."""

    settings: tuple[SettingReport, ...]
    problems: tuple[Detail, ...]
    unknown: tuple[UnknownVariable, ...]
    to_be_made: Path | None


@click.group("config")
def command() -> None:
    """Check the settings, and show where each comes from."""


@command.command(
    "check",
    epilog=examples(
        "config check",
        "config check --for migrate",
        "config check --json | jq '.settings[] | select(.from == \"environment\")'",
    ),
)
@click.option(
    "--for",
    "starts",
    type=click.Choice(["up", "migrate"]),
    default="up",
    show_default=True,
    help="The command that is to start with them.",
)
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder that `up` is given.",
)
@json_option
def check(starts: str, data: Path | None, *, as_json: bool) -> int:
    """Check all settings as a command would read them, and start nothing.

    Each is shown with where it comes from: the environment, a NAME_FILE, the command's own
    default, or the default. Secrets are masked.
    """
    findings = _check_settings(os.environ, data or Path(), is_up=starts == "up")
    if as_json:
        print_json(
            {
                "ok": not findings.problems,
                "settings": [
                    {
                        "variable": setting.variable,
                        "value": _value(setting, findings),
                        "from": setting.origin.value,
                        "meaning": setting.meaning,
                    }
                    for setting in findings.settings
                ],
                "problems": [
                    {"variable": problem.field, "message": problem.message}
                    for problem in findings.problems
                ],
                "unknown": [
                    {"variable": variable.name, "meant": variable.nearest}
                    for variable in findings.unknown
                ],
            }
        )
    else:
        _show(findings)
    return Exit.SETTINGS if findings.problems else Exit.OK


def _check_settings(environ: Mapping[str, str], folder: Path, *, is_up: bool) -> _Findings:
    database = embedded_database(folder, environ) if is_up else None
    to_be_made = secret_path(database) if database else None
    if to_be_made and to_be_made.exists():
        to_be_made = None
    defaults = existing_up_defaults(folder, environ) if is_up else {}
    if to_be_made:
        defaults = {**defaults, _SECRET: _TO_BE_MADE}
    settings: tuple[SettingReport, ...] = ()
    problems: tuple[Detail, ...] = ()
    try:
        loaded = load_settings(environ, defaults)
        settings = tuple(describe(loaded, environ, defaults))
        if is_up:
            check_exposure(loaded)
    except InvalidSettings as error:
        problems = error.details
    return _Findings(settings, problems, tuple(unknown_variables(environ)), to_be_made)


def _show(findings: _Findings) -> None:
    rows = [
        (setting.variable, _value(setting, findings), setting.origin.value, setting.meaning)
        for setting in findings.settings
    ]
    if rows:
        show_table(("variable", "value", "from", "meaning"), rows, "")
    note(findings.unknown)
    for problem in findings.problems:
        messages().print(f"Error: {printable(problem.message)}.", markup=False)
    if not findings.problems:
        output().print(f"All {len(rows)} settings are good.")


def _value(setting: SettingReport, findings: _Findings) -> str:
    if setting.variable == _SECRET and findings.to_be_made:
        return f"made at the first start, in {findings.to_be_made.name}"
    return setting.value
