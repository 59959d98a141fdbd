"""Options of a webhook: its own retries, time limit and rate limit."""

from collections.abc import Callable
from typing import TypeVar

import click

from notification_core.model.rate_limit import MAX_RATE_LIMIT
from notification_entrypoints.cli.options import WholeNumber, json_object

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


def rate_limit_option(least: int, *, extra: str) -> Callable[[_Command], _Command]:
    """Return the option of a rate limit; ``extra`` ends the sentence of its help."""
    return click.option(
        "--rate-limit",
        type=WholeNumber(least, MAX_RATE_LIMIT),
        help=f"How many requests per second are sent at most{extra}",
    )
