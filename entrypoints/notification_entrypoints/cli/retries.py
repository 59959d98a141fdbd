"""Options of a webhook's own retries and time limit."""

from collections.abc import Callable
from typing import TypeVar

import click

from notification_entrypoints.cli.options import json_object

_Command = TypeVar("_Command", bound=Callable[..., object])


def retry_options(*, extra: str = "") -> Callable[[_Command], _Command]:
    """Return the options ``--retry`` and ``--timeout``; ``extra`` ends what their help says."""

    def decorate(command: _Command) -> _Command:
        retry = click.option(
            "--retry",
            callback=json_object,
            metavar="@FILE",
            help=f"Retries of its own: @FILE, or the JSON itself{extra}.",
        )
        timeout = click.option(
            "--timeout", metavar="DURATION", help=f"How long an attempt may take, like 5s{extra}."
        )
        return retry(timeout(command))

    return decorate
