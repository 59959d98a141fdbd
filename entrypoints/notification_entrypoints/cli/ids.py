"""Arguments and options that are ids; a shell completes those that the API lists."""

from collections.abc import Callable
from typing import TypeVar

import click

from notification_entrypoints.cli.completion import (
    ENVIRONMENT_VARIABLE,
    complete_delivery_id,
    complete_environment_id,
    complete_replay_id,
    complete_secret_id,
    complete_session_id,
    complete_webhook_id,
)
from notification_entrypoints.cli.options import ID

_Command = TypeVar("_Command", bound=Callable[..., object])


def environment_option(what: str) -> Callable[[_Command], _Command]:
    """Return the option of a command that needs an environment; ``what`` begins its help."""
    return click.option(
        "--environment",
        type=ID,
        required=True,
        envvar=ENVIRONMENT_VARIABLE,
        shell_complete=complete_environment_id,
        show_envvar=True,
        help=f"{what}.",
    )


def webhook_id_argument(*, required: bool = True) -> Callable[[_Command], _Command]:
    """Return the argument of a command that is about a webhook."""
    return click.argument(
        "webhook_id", type=ID, required=required, shell_complete=complete_webhook_id
    )


environment_id_argument = click.argument(
    "environment_id", type=ID, shell_complete=complete_environment_id
)
"""The environment that a command is about; never taken from a variable."""

delivery_id_argument = click.argument("delivery_id", type=ID, shell_complete=complete_delivery_id)
"""The delivery that a command is about."""

replay_id_argument = click.argument("replay_id", type=ID, shell_complete=complete_replay_id)
"""The replay that a command is about."""

secret_id_argument = click.argument("secret_id", type=ID, shell_complete=complete_secret_id)
"""The signing secret that a command is about."""

session_id_argument = click.argument("session_id", type=ID, shell_complete=complete_session_id)
"""The portal session that a command is about."""
