"""The times that commands are given."""

from contextlib import suppress
from datetime import datetime

import click

from notification_adapters.clock import SystemClock
from notification_entrypoints.config.durations import parse_duration


def instant(_context: click.Context, _parameter: click.Parameter, text: str | None) -> str | None:
    """Return a time as the API reads it, given as one or as how long ago it was."""
    if text is None:
        return None
    with suppress(ValueError):
        return (SystemClock().now() - parse_duration(text)).isoformat()
    try:
        datetime.fromisoformat(text)
    except ValueError:
        said = "Give a time like 2026-12-24T18:00:00Z, or how long ago, like 15m."
        raise click.BadParameter(said) from None
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
    """Take the time of an option as it was written, if it is one and still to come."""
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter("Give a time like 2026-12-24T18:00:00Z.") from None
    if at.tzinfo and at <= SystemClock().now():
        raise click.BadParameter("This time is over: give one to come.")
    return text
