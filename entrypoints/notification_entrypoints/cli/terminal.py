"""How commands print: tables and objects for people, JSON and CSV for programs."""

import asyncio
import csv
import os
import shutil
import signal
import sys
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, tzinfo
from enum import StrEnum
from functools import wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

import click
import msgspec
from attrs import frozen
from rich.console import Console

from notification_core.errors import InvalidSettings
from notification_entrypoints.cli.tables import Row, Rows, Style, object_lines, printable
from notification_entrypoints.commands.exit_codes import CommandFailed
from notification_entrypoints.config.databases import embedded_database, existing_up_defaults
from notification_entrypoints.config.report import UnknownVariable, unknown_variables
from notification_entrypoints.config.variables import is_secret_set

_CHOSEN = "notification_entrypoints.output"

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")


class Form(StrEnum):
    """How a command prints what it has found."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


@frozen
class _Chosen:
    """What the options of the running command say about its output."""

    form: Form = Form.TABLE
    zone: tzinfo | None = None


def _output_options(
    *forms: Form,
) -> Callable[[Callable[..., _Result]], Callable[..., _Result]]:
    """Return the decorator of a command that prints in one of these forms."""

    def decorate(command: Callable[..., _Result]) -> Callable[..., _Result]:
        @click.option(
            "--output",
            "-o",
            "output_form",
            type=click.Choice([form.value for form in forms]),
            help="How to print it (default: table).",
        )
        @click.option("--json", "is_json", is_flag=True, help="The same as --output json.")
        @click.option("--utc", is_flag=True, help="Show times in UTC, not in the local time zone.")
        @wraps(command)
        def call(
            *arguments: object, output_form: str | None, is_json: bool, utc: bool, **options: object
        ) -> _Result:
            if is_json and output_form not in {None, Form.JSON}:
                raise click.UsageError("Give either --json or --output.")
            chosen = _Chosen(
                Form.JSON if is_json else Form(output_form or "table"), UTC if utc else None
            )
            click.get_current_context().meta[_CHOSEN] = chosen
            return command(*arguments, as_json=chosen.form is Form.JSON, **options)

        return call

    return decorate


json_option = _output_options(Form.TABLE, Form.JSON)
"""The options of a command that prints an object; it is called with ``as_json``."""

list_option = _output_options(Form.TABLE, Form.JSON, Form.CSV)
"""The options of a command that prints a list, by :func:`show_table` or as JSON."""


def _choose_zone(context: click.Context, _option: click.Parameter, utc: bool) -> None:  # noqa: FBT001 - click's signature
    context.meta[_CHOSEN] = _Chosen(zone=UTC if utc else None)


utc_option = click.option(
    "--utc",
    is_flag=True,
    expose_value=False,
    callback=_choose_zone,
    help="Show times in UTC, not in the local time zone.",
)
"""The option of a command that has no other form of output, and prints times."""


def _chosen() -> _Chosen:
    context = click.get_current_context(silent=True)
    chosen: _Chosen = context.meta.get(_CHOSEN, _Chosen()) if context else _Chosen()
    return chosen


def output() -> Console:
    """Return the console of standard output, which never cuts; NO_COLOR and pipes get no colour."""
    return Console(highlight=False, soft_wrap=True)


def messages() -> Console:
    """Return the console of standard error."""
    return Console(highlight=False, soft_wrap=True, stderr=True)


def style() -> Style:
    """Return how values are shown: as wide as the terminal is, in the zone that was asked for.

    COLUMNS says another width; without a terminal and without it, the width is not limited.
    """
    columns = os.environ.get("COLUMNS", "")
    width = int(columns) if columns.isdecimal() and int(columns) else None
    if width is None and sys.stdout.isatty():
        width = shutil.get_terminal_size().columns
    return Style(width, _chosen().zone)


class RowPrinter:
    """Prints rows as they come, all in one layout: a table, blocks, or CSV if that was asked for.

    The values of a row are as the API gives them. With ``goes_on`` more rows follow the first.
    """

    def __init__(self, columns: Sequence[str], *, goes_on: bool = False) -> None:
        self._rows = Rows(columns, style(), goes_on)
        self._console = output()
        self._csv = csv.writer(sys.stdout) if _chosen().form is Form.CSV else None
        if self._csv:
            self._csv.writerow(columns)

    def print(self, rows: Sequence[Row]) -> None:
        """Print the next rows."""
        if self._csv:
            self._csv.writerows(rows)
            sys.stdout.flush()
            return
        for line in self._rows.lines(rows):
            if self._console.is_terminal:
                self._console.print(line)
            else:
                click.echo(line.plain)


def show_table(columns: Sequence[str], rows: Sequence[Row], without: str) -> None:
    """Show rows as a table, as blocks or as CSV; without any, a sentence for people."""
    if rows or _chosen().form is Form.CSV:
        RowPrinter(columns).print(rows)
    else:
        output().print(without, markup=False)


def show_object(values: Mapping[str, object]) -> None:
    """Show the fields of an object, one a line; what is inside of one is indented."""
    for line in object_lines(values, style()):
        output().print(line)


def print_json(value: object) -> None:
    """Print a value as one line of JSON, at once."""
    click.echo(msgspec.json.encode(value))


def print_raw_json(text: bytes) -> None:
    """Print JSON that came from elsewhere: one line, or one for each item of a list."""
    is_list = text.lstrip().startswith(b"[")
    for item in msgspec.json.decode(text, type=list[msgspec.Raw]) if is_list else [text]:
        click.echo(msgspec.json.format(bytes(item), indent=-1))


def note(unknown: Iterable[UnknownVariable]) -> None:
    """Tell of variables that have no effect."""
    for variable in unknown:
        messages().print(f"Note: {printable(variable.message)}", markup=False)


def confirm(question: str, refused: str) -> None:
    """Ask before what cannot be undone; raise :class:`CommandFailed` if it is declined."""
    if not sys.stdin.isatty():
        raise click.UsageError("Standard input is not a terminal: pass --yes to confirm.")
    if not click.confirm(question, err=True):
        raise CommandFailed(refused)


def run(work: Coroutine[object, object, _Result]) -> _Result:
    """Run a coroutine to its end; SIGTERM ends it like Ctrl-C does, with KeyboardInterrupt.

    It does so too where Ctrl-C is ignored, as it is for what a script starts with ``&``.
    """

    async def interruptible() -> _Result:
        working = asyncio.ensure_future(work)
        with suppress(NotImplementedError):  # Windows has no such signal to handle.
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, working.cancel)
        return await working

    try:
        return asyncio.run(interruptible())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


def asynchronous(
    command: Callable[_Parameters, Coroutine[object, object, _Result]],
) -> Callable[_Parameters, _Result]:
    """Make a command of a coroutine function, by :func:`run`."""

    @wraps(command)
    def call(*arguments: _Parameters.args, **options: _Parameters.kwargs) -> _Result:
        return run(command(*arguments, **options))

    return call


def defaults_of(data: Path | None, environ: Mapping[str, str]) -> Mapping[str, str]:
    """Return what stands for variables that are not set, and note those without effect.

    ``data`` is the folder of ``up --data``. Raises :class:`InvalidSettings` if there is no database
    in it, and if it is not given while the variables do not name a database either.
    """
    note(unknown_variables(environ))
    if data is None and not is_secret_set(environ, "DB_ENCRYPTION_SECRET"):
        if environ.get("DB_URI"):
            raise InvalidSettings(
                "DB_ENCRYPTION_SECRET must be set as well as DB_URI: it is the secret that the "
                "database is encrypted with, 32 characters."
            )
        raise InvalidSettings(
            "Which database? Name the folder of `up` by --data (`--data .` for the current one), "
            "or set DB_URI and DB_ENCRYPTION_SECRET."
        )
    if data is None:
        return {}
    database = embedded_database(data, environ)
    if database and not database.exists():
        raise InvalidSettings(f"There is no database at {database}: `up` has not run there.")
    return existing_up_defaults(data, environ)
