"""What the commands show: tables, colours only on a terminal, JSON for programs."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

import click
import msgspec
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from notification_entrypoints.commands.exit_codes import CommandFailed
from notification_entrypoints.config.databases import existing_up_defaults
from notification_entrypoints.config.report import UnknownVariable, unknown_variables

_PIPE_WIDTH = 160

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
"""The option of a command whose output a program could read."""


def output() -> Console:
    """Return the console of standard output; NO_COLOR and pipes get plain text."""
    # Into a pipe there is no width to keep to, and a cut identifier would be of no use.
    width = None if sys.stdout.isatty() else _PIPE_WIDTH
    return Console(highlight=False, soft_wrap=not sys.stdout.isatty(), width=width)


def messages() -> Console:
    """Return the console of standard error."""
    return Console(highlight=False, soft_wrap=True, stderr=True)


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """Return a table of texts, which are shown as they are: they come from outside."""
    shown = Table(
        *columns, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False
    )
    for row in rows:
        shown.add_row(*(Text(printable(cell)) for cell in row))
    return shown


def show_table(columns: Sequence[str], rows: Sequence[Sequence[str]], without: str) -> None:
    """Show a table, or without any rows a sentence instead of it."""
    if rows:
        output().print(table(columns, rows))
    else:
        output().print(without, markup=False)


def fields(values: Mapping[str, object]) -> Table:
    """Return the fields of an object, one a row; what is inside of one is shown as JSON."""
    shown = Table.grid(padding=(0, 2, 0, 0))
    for name, value in values.items():
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            text = ", ".join(value)
        else:
            text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
        shown.add_row(Text(printable(name), style="bold"), Text(printable(text)))
    return shown


def print_json(value: object) -> None:
    """Print a value as one line of JSON, at once."""
    click.echo(msgspec.json.encode(value))


def print_raw_json(text: bytes) -> None:
    """Print JSON that came from elsewhere, laid out for reading."""
    click.echo(msgspec.json.format(text, indent=2))


def printable(text: str) -> str:
    """Return a text without what a terminal would obey instead of show."""
    return "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text
    )


def note(unknown: Iterable[UnknownVariable]) -> None:
    """Tell of variables that have no effect."""
    for variable in unknown:
        messages().print(f"Note: {printable(variable.message)}", markup=False)


def confirm(question: str, refused: str) -> None:
    """Ask before what cannot be undone; raise :class:`CommandFailed` where the answer is no."""
    if not sys.stdin.isatty():
        raise click.UsageError("There is nobody to ask here: give --yes.")
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


def defaults_of(data: Path | None) -> Mapping[str, str]:
    """Return what stands for variables that are not set, and tell of those without effect."""
    note(unknown_variables(os.environ))
    return existing_up_defaults(data, os.environ) if data else {}
