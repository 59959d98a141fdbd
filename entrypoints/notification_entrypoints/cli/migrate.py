"""``migrate``: the database's schema."""

import os

import click

from notification_entrypoints import up
from notification_entrypoints.cli.examples import examples


@click.command("migrate", epilog=examples("migrate"))
def command() -> None:
    """Bring the schema of the database at DB_URI up to this version; `up` does so by itself."""
    up.migrate(os.environ)
