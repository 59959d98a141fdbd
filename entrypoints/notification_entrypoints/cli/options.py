"""What commands have in common on the command line: ids, times, options, and examples in help."""

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import click
import msgspec

from notification_adapters.clock import SystemClock
from notification_adapters.event_formats.validation import id_error
from notification_core.model.durations import format_duration, parse_duration
from notification_entrypoints.config.dotenv import read_dotenv

_PROGRAM = "notification-management"
_MOST_WORKERS = 64

_Command = TypeVar("_Command", bound=Callable[..., object])


class _Id(click.types.UUIDParameterType):
    """A UUID; says what one looks like where it gets none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> UUID:
        """Read an id."""
        try:
            return UUID(str(value).strip())
        except ValueError:
            sentence = "is not a valid UUID, like 0b6f2e0c-5d0c-4d7e-8a57-2f7a3f0f6f10."
            self.fail(f"{value!r} {sentence}", param, ctx)


class _EventId(click.ParamType[str]):
    """The id of an event, which is its publisher's own: any text that an event may have."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Take an id; what is not UTF-8 reaches the command line with surrogates in it."""
        wrong = id_error(value)
        if wrong is not None or re.search(r"[\ud800-\udfff]", value):
            self.fail(wrong or "An event id is text in UTF-8.", param, ctx)
        return str(value)


class WholeNumber(click.IntRange):
    """A whole number between two others, which are named if it is not."""

    name = "integer"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read a number."""
        number = int(value) if str(value).isdecimal() else -1
        if not (self.min or 0) <= number <= (self.max or number):
            self.fail(f"{value!r} is not a whole number {self._describe_range()}.", param, ctx)
        return number

    def _describe_range(self) -> str:
        return f"from {self.min:,} to {self.max:,}"


class Wait(click.ParamType[timedelta]):
    """How long to wait at most, as a duration or as a number of seconds."""

    name = "duration"

    def __init__(self, most: timedelta) -> None:
        self._most = most

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta:
        """Read a duration."""
        text = str(value).strip()
        is_number = re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text)
        try:
            wait = timedelta(seconds=float(text)) if is_number else parse_duration(text)
        except ValueError:
            wait = None
        if wait is None or wait > self._most:
            most = format_duration(self._most)
            self.fail(f"{text!r} is not a duration of at most {most}, like 30s.", param, ctx)
        return wait


ID = _Id()
"""The type of options and arguments that are ids."""

EVENT_ID = _EventId()
"""The type of arguments that are ids of events."""


def instant(_context: click.Context, _parameter: click.Parameter, text: str | None) -> str | None:
    """Return a time as the API reads it, given as one or as how long ago it was."""
    if text is None:
        return None
    with suppress(ValueError):
        return (SystemClock().now() - parse_duration(text)).isoformat()
    try:
        datetime.fromisoformat(text)
    except ValueError:
        sentence = "Give a time like 2026-12-24T18:00:00Z, or how long ago, like 15m."
        raise click.BadParameter(sentence) from None
    return text


since_option = click.option(
    "--since", metavar="TIME", callback=instant, help="Not before this time, or so long ago (15m)."
)
"""The option of a list that leaves out what is older."""

until_option = click.option(
    "--until", metavar="TIME", callback=instant, help="Only before this time."
)
"""The option of a list that leaves out what is younger."""


def time_to_come(
    _context: click.Context, _parameter: click.Parameter, text: str | None
) -> str | None:
    """Return a time as the API reads it, given as one in the future or as how long from now."""
    if text is None:
        return None
    with suppress(ValueError):
        return (SystemClock().now() + parse_duration(text)).isoformat()
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        sentence = "Give a time like 2026-12-24T18:00:00Z, or how long from now, like 720h."
        raise click.BadParameter(sentence) from None
    if at.tzinfo and at <= SystemClock().now():
        raise click.BadParameter("This time is in the past.")
    return text


def json_object(
    _context: click.Context, _parameter: click.Parameter, text: str | None
) -> dict[str, object] | None:
    """Return the JSON object of an option, given itself or as ``@file``; an empty text is one."""
    if not text:
        return None if text is None else {}
    try:
        content = Path(text[1:]).read_bytes() if text.startswith("@") else text.encode()
        value = msgspec.json.decode(content)
    except OSError as error:
        raise click.BadParameter(f"{text[1:]} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        reason = str(error).removeprefix("JSON is malformed: ")
        hint = f" To read it from the file, give @{text}." if is_file(text) else ""
        raise click.BadParameter(f"This is not JSON: {reason}.{hint}") from error
    if not isinstance(value, dict):
        raise click.BadParameter("Give a JSON object.")
    return value


def is_file(text: str) -> bool:
    """Tell whether what an option was given is the name of a file."""
    try:
        return Path(text).is_file()
    except (OSError, ValueError):  # longer than a name may be, or with U+0000
        return False


workers_option = click.option(
    "--workers",
    type=WholeNumber(1, _MOST_WORKERS),
    default=1,
    show_default=True,
    help="The number of worker processes, supervised by one more.",
)
"""The option of the commands that serve."""

config_option = click.option(
    "--config",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Read settings from this file, a NAME=value a line; the environment wins over it.",
)
"""The option of a command that reads settings; for :func:`environment_of`."""

_PORT = WholeNumber(0, 65535)


def api_place_options(command: _Command) -> _Command:
    """Decorate a command that serves the API; for :func:`environment_of`."""
    host = click.option("--host", help="The API's address (API_SERVER_HOST; 127.0.0.1).")
    port = click.option("--port", type=_PORT, help="The API's port (API_SERVER_PORT; 3615).")
    return port(host(command))


def ops_place_options(command: _Command) -> _Command:
    """Decorate a command that has an ops server; for :func:`environment_of`."""
    port = click.option("--ops-port", type=_PORT, help="Its ops port (OPS_SERVER_PORT; 3616).")
    return port(command)


_VARIABLES = {"host": "API_SERVER_HOST", "port": "API_SERVER_PORT", "ops_port": "OPS_SERVER_PORT"}


def environment_of(environ: Mapping[str, str], options: Mapping[str, object]) -> Mapping[str, str]:
    """Return the settings' variables: options over the environment over the file ``config``.

    Raises :class:`InvalidSettings` for a file that cannot be read.
    """
    config = options.get("config")
    file = read_dotenv(config) if isinstance(config, Path) else {}
    given = {
        variable: str(options[name])
        for name, variable in _VARIABLES.items()
        if options.get(name) is not None
    }
    return {**file, **environ, **given}


data_option = click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    help="Take the database that `up --data` keeps in this folder (default: the one at DB_URI).",
)
"""The option of commands that open a database by themselves, without a server."""


def examples(*lines: str) -> str:
    """Return calls of this program for the end of a command's help.

    A line that begins with a blank goes on with the one before.
    """
    called = (f"  {line}" if line.startswith(" ") else f"{_PROGRAM} {line}" for line in lines)
    return block("Examples:", *called)


def block(title: str, *lines: str) -> str:
    """Return lines for the end of a command's help, which are shown as they are."""
    # click leaves a paragraph that begins with a backspace as it is.
    return "\n".join(["\b", title, *(f"  {line}" for line in lines)])
