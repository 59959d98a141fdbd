"""``completion``: the script that makes a shell complete commands and options."""

import click
from click.shell_completion import get_completion_class

from notification_entrypoints.cli.examples import block

SHELLS = ("bash", "zsh", "fish")


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
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print the script that completes commands and options in your shell."""
    program = ctx.find_root()
    name = program.info_name or ""
    variable = f"_{name}_COMPLETE".replace("-", "_").upper()
    completion = get_completion_class(shell)
    if completion is None:
        raise click.UsageError(f"{shell} is not known.")
    click.echo(completion(program.command, {}, name, variable).source())
