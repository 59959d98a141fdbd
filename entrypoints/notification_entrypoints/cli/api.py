"""``api``: the HTTP API alone."""

import os

import click

from notification_entrypoints.cli.examples import examples
from notification_entrypoints.cli.workers import workers_option
from notification_entrypoints.commands import api


@click.command("api", epilog=examples("api", "api --workers 2"))
@workers_option
def command(workers: int) -> None:
    """Serve the API, until it is stopped; what it stores is delivered by other processes.

    It needs a database that was migrated (DB_URI, DB_ENCRYPTION_SECRET), and a consumer or an `up`
    on the same one. All settings are environment variables.
    """
    api.run(os.environ, workers)
