"""``copy``: a SQLite database, copied to PostgreSQL."""

import os

import click

from notification_entrypoints.cli.options import examples
from notification_entrypoints.cli.progress import progress
from notification_entrypoints.cli.terminal import asynchronous, note, show_table
from notification_entrypoints.commands.maintenance import open_copy
from notification_entrypoints.config.report import unknown_variables


@click.command(
    "copy",
    epilog=examples(
        "copy --from sqlite:///data/notification-management.sqlite --to $DB_URI",
        "copy --from sqlite:////srv/backup.sqlite --to postgresql://db/hooks",
    ),
)
@click.option(
    "--from", "source", metavar="URI", required=True, help="The SQLite file: sqlite:///FILE."
)
@click.option(
    "--to",
    "target",
    metavar="URI",
    envvar="DB_URI",
    help="The PostgreSQL database, which must be empty: postgresql://HOST/DATABASE (default: the "
    "one at DB_URI, whose password no other user of this host sees).",
)
@asynchronous
async def copy(source: str, target: str | None) -> None:
    """Copy all data from a SQLite database to PostgreSQL.

    Stop all processes of both databases first. The source is only read, and every row is compared
    with its copy at the end. If the command is interrupted, run it again: it continues. The servers
    of the copy need the source's DB_ENCRYPTION_SECRET; `up` keeps it in a file beside the database.
    """
    if target is None:
        raise click.UsageError("Give the PostgreSQL database as --to, or set DB_URI.")
    note(unknown_variables(os.environ))
    async with open_copy(source, target, os.environ) as database_copy:
        await database_copy.prepare()
        total = await database_copy.count()
        with progress(total, "Copying", "rows copied") as tell:
            await database_copy.copy(tell)
        with progress(total, "Comparing", "rows compared") as tell:
            counts = await database_copy.finish(tell)
    show_table(("table", "rows"), list(counts.items()), "")
    click.echo(
        f"{sum(counts.values()):,} rows copied and compared: the database can be served. Do not "
        "serve the source any more: what both have pending would be sent twice."
    )
