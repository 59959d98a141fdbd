"""The option of commands that open a database by themselves, without a server."""

import os
from collections.abc import Mapping
from pathlib import Path

import click

from notification_entrypoints.cli.terminal import note
from notification_entrypoints.config.databases import up_defaults_now
from notification_entrypoints.config.report import unknown_variables

data_option = click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    help="Take the database that `up --data` keeps in this folder (default: the one at DB_URI).",
)


def defaults_of(data: Path | None) -> Mapping[str, str]:
    """Return what stands for variables that are not set, and tell of those without effect."""
    note(unknown_variables(os.environ))
    return up_defaults_now(data, os.environ) if data else {}
