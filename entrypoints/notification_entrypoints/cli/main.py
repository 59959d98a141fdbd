"""The command line: ``notification-management COMMAND …``.

A command's module is imported when the command is run, so that each starts fast. What goes wrong
is said in one sentence, and the exit code tells programs what it was (:class:`Exit`).
"""

import codecs
import io
import logging
import sys
import traceback
from collections.abc import Sequence
from functools import cache
from importlib import import_module

import click
from attrs import define

from notification_core.errors import NotificationError
from notification_core.version import VERSION
from notification_entrypoints.cli.groups import Commands
from notification_entrypoints.commands.exit_codes import Exit, exit_of
from notification_entrypoints.observability.log_output import LogOutput
from notification_entrypoints.serving.gc_tuning import import_without_gc

PROGRAM = "notification-management"

_ESCAPED_ASCII = "notification_escaped_ascii"

_COMMANDS = {
    "up": "Run everything in one process: API, dispatcher and ops server.",
    "api": "Serve the API only; other processes deliver.",
    "consumer": "Run the Kafka consumer and the dispatcher.",
    "migrate": "Bring the database's schema up to this version.",
    "rekey": "Re-encrypt all stored secrets, to retire previous ones.",
    "copy": "Copy a SQLite database to PostgreSQL.",
    "publish": "Publish events from a file of JSON lines, or a single one.",
    "listen": "Receive webhooks here, verify each request and print it.",
    "webhooks": "Create, show, change and delete the webhooks of an environment.",
    "events": "List event types and events, show an event's deliveries, publish an example.",
    "logs": "Show the attempts of a webhook, or follow them.",
    "stats": "Show the statistics of a webhook, or of an environment.",
    "deliveries": "List and show the deliveries of a webhook, and redeliver one.",
    "replays": "Show and cancel replays of what a webhook has missed.",
    "environments": "Erase all that is stored of an environment.",
    "settings": "Show the public keys that an environment's requests are signed with.",
    "verification-keys": "Give an environment a new key to sign with.",
    "portal-sessions": "Open the portal for a customer, list and end sessions.",
    "keys": "Create, list and revoke API keys.",
    "status": "Show the backlog, the workers, and the throughput of the last minute.",
    "dead-letters": "Show and replay Kafka messages that could not be read.",
    "verify": "Verify a captured request, and say what is wrong with it.",
    "doctor": "Check settings, storage, Kafka, DNS, clock and limits before a start.",
    "completion": "Print the script that completes commands in your shell.",
}


_OURS = "notification_"
_INSTALL = "pip install 'notification-management[service]'"
_SERVERS = frozenset({"up", "api", "consumer", "migrate"})

_TOGETHER = {
    **dict.fromkeys(("up", "api", "consumer", "migrate"), "servers"),
    "completion": "reference",
    "copy": "database_copy",
}
"""The modules of the commands that have none of their own: there they go by their names."""


@cache
def _command(name: str) -> click.Command:
    module = _TOGETHER.get(name) or name.replace("-", "_")
    with import_without_gc():
        imported = import_module(f"notification_entrypoints.cli.{module}")
    command: click.Command = getattr(imported, name if name in _TOGETHER else "command")
    return command


@define
class _Run:
    """What the options before the command asked for."""

    debug: bool = False


def _remember_debug(ctx: click.Context, _option: click.Parameter, debug: bool) -> None:  # noqa: FBT001 - click's signature
    ctx.ensure_object(_Run).debug = debug


class _LazyCommands(Commands):
    """Commands that are known by name and imported only when needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        if cmd_name not in _COMMANDS:
            return None
        return _command(cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        with formatter.section("Environment variables of the client commands"):
            formatter.write_dl(list(_CLIENT_VARIABLES.items()))
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(code.value), code.meaning) for code in Exit])


_CLIENT_VARIABLES = {
    "NOTIFICATION_API_URL": "The API's base URL, like --api.",
    "NOTIFICATION_API_KEY": "The API key.",
    "NOTIFICATION_ENVIRONMENT": "The environment of commands that need one, like --environment.",
    "NOTIFICATION_OPS_URL": "The ops server's base URL, like --ops.",
    "NO_COLOR": "Any value but the empty one: no colours.",
}


@click.group(PROGRAM, cls=_LazyCommands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--debug",
    is_flag=True,
    expose_value=False,
    callback=_remember_debug,
    help="Show where an error comes from.",
)
@click.version_option(VERSION, prog_name=PROGRAM)
def program() -> None:
    """Deliver events as signed webhooks: at least once, every attempt logged."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line (by default this process's own) and return the exit code."""
    _escape_what_cannot_be_encoded()
    run = _Run()
    try:
        code = program.main(arguments, PROGRAM, obj=run, standalone_mode=False)
    except click.ClickException as error:
        if isinstance(error, click.NoSuchOption) and error.ctx and error.ctx.info_name in _SERVERS:
            error = click.UsageError(error.message + _variables_hint(error.option_name), error.ctx)
        error.show()
        return Exit.USAGE if isinstance(error, click.FileError) else error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return _failed("Interrupted.", Exit.INTERRUPTED)
    except BrokenPipeError:
        return Exit.FAILED  # Whoever read the output has gone: there is nobody to tell.
    except (NotificationError, OSError) as error:
        return _failed(str(error), exit_of(error), debug=run.debug)
    except Exception as error:  # noqa: BLE001 - the last one who can turn it into a sentence
        sentence = f"Unexpected: {type(error).__name__}: {error}. See where with --debug."
        if isinstance(error, ModuleNotFoundError) and not (error.name or "").startswith(_OURS):
            sentence = f"{error.name} is not installed: {_INSTALL}"
        return _failed(sentence, Exit.FAILED, debug=run.debug)
    return code if isinstance(code, int) else Exit.OK


def _variables_hint(option: str) -> str:
    """Return the settings whose names have all words of an option that a server does not have."""
    from notification_entrypoints.config.settings import variables  # noqa: PLC0415 - only where needed

    words = set(option.strip("-").upper().split("-"))
    named = [name for name in variables() if words <= set(name.split("_"))]
    if not named:
        return " Settings are environment variables: see `notification-management doctor`."
    return f" Settings are environment variables: set {' or '.join(named[:3])}."


def _escape_what_cannot_be_encoded() -> None:
    """Print each character that the encoding of an output stream lacks by its number."""
    codecs.register(_find_escaped_ascii)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            is_ascii = codecs.lookup(stream.encoding).name == "ascii"
            encoding = _ESCAPED_ASCII if is_ascii else stream.encoding
            stream.reconfigure(encoding=encoding, errors="backslashreplace")


def _find_escaped_ascii(name: str) -> codecs.CodecInfo | None:
    """Return ASCII under another name: click takes ASCII for an error and writes UTF-8 instead."""
    if name != _ESCAPED_ASCII:
        return None
    ascii_ = codecs.lookup("ascii")
    return codecs.CodecInfo(*ascii_, ascii_.incrementalencoder, ascii_.incrementaldecoder, name)


def _failed(sentence: str, code: Exit, *, debug: bool = False) -> int:
    # Nobody reads what a server says, which must not keep it from ending.
    if any(isinstance(h, LogOutput) and h.is_stuck for h in logging.getLogger().handlers):
        return code
    if debug:
        click.echo(traceback.format_exc(), err=True)
    click.echo(f"Error: {sentence}", err=True)
    return code
