"""``--workers``: the option of the commands that serve."""

import click

MOST = 64

workers_option = click.option(
    "--workers",
    type=click.IntRange(1, MOST),
    default=1,
    show_default=True,
    help="Serve in so many processes, which one more starts again when they end.",
)
