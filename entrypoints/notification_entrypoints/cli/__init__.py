"""The command line: ``notification-management COMMAND …``.

A command's module is imported when the command is run, so that each starts fast. What goes wrong
is said in one sentence; the exit code is 0 where all went well, 1 where it did not, and 2 where
the command was called wrongly.
"""

import traceback
from collections.abc import Sequence
from importlib import import_module

import click
from attrs import define

from notification_core.errors import NotificationError
from notification_core.version import VERSION

_COMMANDS = {
    "up": "Run everything in one process: API, deliveries and ops server.",
    "migrate": "Bring the database's schema up to this version.",
    "publish": "Publish events from a file of JSON lines, or a single one.",
    "listen": "Receive webhooks here, verify each request and print it.",
    "webhooks": "List and create the webhooks of an environment.",
    "logs": "Show what a webhook was sent, attempt by attempt.",
}


@define
class _Run:
    """What the options before the command asked for."""

    debug: bool = False


def _remember_debug(ctx: click.Context, _option: click.Parameter, debug: bool) -> None:  # noqa: FBT001 - click's signature
    ctx.ensure_object(_Run).debug = debug


class _Commands(click.Group):
    """Commands that are known by name and imported only when needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = import_module(f"{__name__}.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--debug",
    is_flag=True,
    expose_value=False,
    callback=_remember_debug,
    help="Show where an error comes from.",
)
@click.version_option(VERSION, prog_name="notification-management")
def _group() -> None:
    """Deliver events as signed webhooks: at least once, every attempt logged."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line (by default this process's own) and return the exit code."""
    run = _Run()
    try:
        code = _group.main(arguments, "notification-management", obj=run, standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return _failed("Interrupted.")
    except BrokenPipeError:
        return 1  # Whoever read the output has gone: there is nobody to tell.
    except (NotificationError, OSError) as error:
        return _failed(str(error), debug=run.debug)
    except Exception as error:  # noqa: BLE001 - the last one who can turn it into a sentence
        said = f"Unexpected: {type(error).__name__}: {error}. See where with --debug."
        return _failed(said, debug=run.debug)
    return code if isinstance(code, int) else 0


def _failed(sentence: str, *, debug: bool = False) -> int:
    if debug:
        click.echo(traceback.format_exc(), err=True)
    click.echo(f"Error: {sentence}", err=True)
    return 1
