"""``api``: the HTTP API alone."""

import os

import click

from notification_entrypoints import api_server
from notification_entrypoints.cli.examples import examples


@click.command("api", epilog=examples("api"))
def command() -> None:
    """Serve the API, until it is stopped; what it stores is delivered by other processes.

    It needs a database that was migrated (DB_URI, DB_ENCRYPTION_SECRET), and a consumer or an `up`
    on the same one. All settings are environment variables.
    """
    api_server.run(os.environ)
