"""``migrate``: the database's schema."""

import os

import click

from notification_entrypoints.cli.examples import examples
from notification_entrypoints.cli.terminal import note
from notification_entrypoints.commands import maintenance
from notification_entrypoints.config.report import unknown_variables


@click.command(
    "migrate",
    epilog=examples("migrate", "migrate --check", "migrate --sql | psql --single-transaction"),
)
@click.option("--check", is_flag=True, help="Change nothing: fail unless the schema fits.")
@click.option("--sql", is_flag=True, help="Change nothing: print the statements that would.")
def command(*, check: bool, sql: bool) -> None:
    """Bring the schema of the database at DB_URI up to this version; `up` does so by itself."""
    if check and sql:
        raise click.UsageError("Either --check or --sql: each only looks.")
    note(unknown_variables(os.environ))
    if sql:
        click.echo(maintenance.migration_sql(os.environ), nl=False)
    elif check:
        maintenance.check_schema(os.environ)
        click.echo("The schema fits this version.")
    else:
        maintenance.migrate(os.environ)
