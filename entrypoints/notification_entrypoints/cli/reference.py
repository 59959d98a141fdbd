"""The page of the reference that shows what each command says of itself."""

from collections.abc import Iterator

import click

from notification_entrypoints.cli import PROGRAM, program

_WIDTH = 90
_HEAD = """\
# Commands

What each command says of itself with `--help`. The exit codes and the variables that the client
commands read are in the first section."""


def commands_page() -> str:
    """Return the page as Markdown, made from the commands themselves."""
    parts = [f"## {path}\n\n```text\n{text}\n```" for path, text in _helps(program, None)]
    return "\n\n".join([_HEAD, *parts]) + "\n"


def _helps(command: click.Command, parent: click.Context | None) -> Iterator[tuple[str, str]]:
    """Yield the path and the help of a command, then those of the commands below it."""
    name = PROGRAM if parent is None else command.name
    inherited = command.context_settings
    with click.Context(command, parent, name, terminal_width=_WIDTH, **inherited) as context:
        yield context.command_path, command.get_help(context)
        if isinstance(command, click.Group):
            for below in command.list_commands(context):
                if found := command.get_command(context, below):
                    yield from _helps(found, context)
