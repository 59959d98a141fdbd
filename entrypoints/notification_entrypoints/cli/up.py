"""``up``: everything in one process."""

import os
from pathlib import Path

import click

from notification_entrypoints.cli.examples import examples
from notification_entrypoints.cli.workers import workers_option
from notification_entrypoints.commands import up


@click.command("up", epilog=examples("up", "up --data ./data", "up --workers 4"))
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep the database and its secret in this folder (default: the current one).",
)
@workers_option
def command(data: Path | None, workers: int) -> None:
    """Run the API, the deliveries and the ops server in one process, until it is stopped.

    It needs nothing else: without DB_URI the database is a SQLite file. All settings are
    environment variables.
    """
    up.run(data, os.environ, workers)
