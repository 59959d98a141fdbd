"""The commands that serve, and ``migrate``, which prepares what they serve from.

What a command runs is imported when it is run: none of them waits for what only another one needs.
"""

import os
from pathlib import Path

import click

from notification_entrypoints.cli.options import (
    api_place_options,
    config_option,
    data_option,
    environment_of,
    examples,
    ops_place_options,
    workers_option,
)
from notification_entrypoints.serving.gc_tuning import import_without_gc


@click.command(
    "up",
    epilog=examples(
        "up", "up --port 8080 --data ./data", "up --config settings.env", "up --workers 4"
    ),
)
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep the database and its secret in this folder (default: the current one).",
)
@api_place_options
@ops_place_options
@config_option
@workers_option
def up(data: Path | None, workers: int, **options: object) -> None:
    """Run API, dispatcher and ops server in one process, until it is stopped.

    It needs nothing else: without DB_URI the database is a SQLite file. Settings are environment
    variables, or lines of the file --config; options win over both.
    """
    with import_without_gc():
        from notification_entrypoints.commands.up import run  # noqa: PLC0415 - see above

    run(data, environment_of(os.environ, options), workers)


@click.command("api", epilog=examples("api", "api --port 8080 --workers 2"))
@api_place_options
@ops_place_options
@config_option
@workers_option
def api(workers: int, **options: object) -> None:
    """Serve the API only, until it is stopped; other processes deliver.

    It needs a database that was migrated (DB_URI, DB_ENCRYPTION_SECRET), and a consumer or an `up`
    on the same one. Settings are environment variables, or lines of the file --config; options win
    over both.
    """
    with import_without_gc():
        from notification_entrypoints.commands.api import run  # noqa: PLC0415 - see above

    run(environment_of(os.environ, options), workers)


@click.command(
    "consumer",
    epilog=examples("consumer --workers 4", "consumer --config settings.env --ops-port 9616"),
)
@ops_place_options
@config_option
@workers_option
def consumer(workers: int, **options: object) -> None:
    """Run the Kafka consumer and the dispatcher, until it is stopped.

    It needs a database that was migrated (DB_URI, DB_ENCRYPTION_SECRET) and Kafka (KAFKA_BROKERS).
    Settings are environment variables, or lines of the file --config; options win over both.
    """
    with import_without_gc():
        from notification_entrypoints.commands.consumer import run  # noqa: PLC0415 - see above

    run(environment_of(os.environ, options), workers)


@click.command(
    "migrate",
    epilog=examples(
        "migrate", "migrate --data . --check", "migrate --sql | psql --single-transaction"
    ),
)
@click.option("--check", is_flag=True, help="Change nothing: fail unless the schema fits.")
@click.option("--sql", is_flag=True, help="Change nothing: print the statements that would.")
@data_option
@config_option
def migrate(data: Path | None, *, check: bool, sql: bool, **options: object) -> None:
    """Bring the schema of the database at DB_URI up to this version; `up` does so by itself."""
    from notification_entrypoints.cli.terminal import defaults_of  # noqa: PLC0415 - see above
    from notification_entrypoints.commands import maintenance  # noqa: PLC0415 - see above
    from notification_entrypoints.config.settings import load_settings  # noqa: PLC0415 - see above

    if check and sql:
        raise click.UsageError("Either --check or --sql: each only looks.")
    environ = environment_of(os.environ, options)
    settings = load_settings(environ, defaults_of(data, environ))
    if sql:
        click.echo(maintenance.migration_sql(settings), nl=False)
    elif check:
        maintenance.check_schema(settings)
        click.echo("The schema fits this version.")
    else:
        click.echo(maintenance.migrate(settings))
