"""What the program says of itself: completion in shells, and the page of all commands."""

from collections.abc import Iterator

import click
from click.shell_completion import get_completion_class

from notification_entrypoints.cli.main import PROGRAM, program
from notification_entrypoints.cli.options import block

_SHELLS = ("bash", "zsh", "fish")
_WIDTH = 90
_HEAD = """\
# Commands

What each command says of itself with `--help`. The exit codes and the variables that the client
commands read are in the first section."""


@click.command(
    "completion",
    epilog=block(
        "Switch it on:",
        """bash   echo 'eval "$(notification-management completion bash)"' >> ~/.bashrc""",
        """zsh    echo 'eval "$(notification-management completion zsh)"' >> ~/.zshrc""",
        "fish   notification-management completion fish \\",
        "         > ~/.config/fish/completions/notification-management.fish",
    ),
)
@click.argument("shell", type=click.Choice(_SHELLS))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the script that completes commands and options in your shell."""
    root = ctx.find_root()
    name = root.info_name or ""
    variable = f"_{name}_COMPLETE".replace("-", "_").upper()
    script = get_completion_class(shell)
    if script is None:
        raise click.UsageError(f"{shell} is not known.")
    click.echo(script(root.command, {}, name, variable).source())


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
            for subcommand_name in command.list_commands(context):
                if subcommand := command.get_command(context, subcommand_name):
                    yield from _helps(subcommand, context)
