"""The commands that serve, and ``migrate``, which prepares what they serve from.

What a command runs is imported when it is run: none of them waits for what only another one needs.
"""

import os
from pathlib import Path

import click

from notification_entrypoints.cli.options import examples, workers_option
from notification_entrypoints.serving.gc_tuning import import_without_gc


@click.command("up", epilog=examples("up", "up --data ./data", "up --workers 4"))
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep the database and its secret in this folder (default: the current one).",
)
@workers_option
def up(data: Path | None, workers: int) -> None:
    """Run the API, the deliveries and the ops server in one process, until it is stopped.

    It needs nothing else: without DB_URI the database is a SQLite file. All settings are
    environment variables.
    """
    with import_without_gc():
        from notification_entrypoints.commands.up import run  # noqa: PLC0415 - see above

    run(data, os.environ, workers)


@click.command("api", epilog=examples("api", "api --workers 2"))
@workers_option
def api(workers: int) -> None:
    """Serve the API, until it is stopped; what it stores is delivered by other processes.

    It needs a database that was migrated (DB_URI, DB_ENCRYPTION_SECRET), and a consumer or an `up`
    on the same one. All settings are environment variables.
    """
    with import_without_gc():
        from notification_entrypoints.commands.api import run  # noqa: PLC0415 - see above

    run(os.environ, workers)


@click.command("consumer", epilog=examples("consumer", "consumer --workers 4"))
@workers_option
def consumer(workers: int) -> None:
    """Take events from Kafka and deliver them, until it is stopped.

    It needs a database that was migrated (DB_URI, DB_ENCRYPTION_SECRET) and Kafka
    (KAFKA_BROKERS). All settings are environment variables.
    """
    with import_without_gc():
        from notification_entrypoints.commands.consumer import run  # noqa: PLC0415 - see above

    run(os.environ, workers)


@click.command(
    "migrate",
    epilog=examples("migrate", "migrate --check", "migrate --sql | psql --single-transaction"),
)
@click.option("--check", is_flag=True, help="Change nothing: fail unless the schema fits.")
@click.option("--sql", is_flag=True, help="Change nothing: print the statements that would.")
def migrate(*, check: bool, sql: bool) -> None:
    """Bring the schema of the database at DB_URI up to this version; `up` does so by itself."""
    from notification_entrypoints.cli.terminal import note  # noqa: PLC0415 - see above
    from notification_entrypoints.commands import maintenance  # noqa: PLC0415 - see above
    from notification_entrypoints.config.report import unknown_variables  # noqa: PLC0415 - see above

    if check and sql:
        raise click.UsageError("Either --check or --sql: each only looks.")
    note(unknown_variables(os.environ))
    if sql:
        click.echo(maintenance.migration_sql(os.environ), nl=False)
    elif check:
        maintenance.check_schema(os.environ)
        click.echo("The schema fits this version.")
    else:
        click.echo(maintenance.migrate(os.environ))
