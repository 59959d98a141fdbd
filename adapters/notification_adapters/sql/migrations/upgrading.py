"""Running the migrations by alembic, which is imported only if there is one to run."""

import threading
from io import StringIO
from typing import TextIO

import sqlalchemy as sa
from alembic import command
from alembic.config import Config

# Alembic's context is global to the process.
_alembic = threading.Lock()


def upgrade(connection: sa.Connection, to: str = "head") -> None:
    """Bring the schema up to this version or an earlier one, in the connection's transaction."""
    connection.execute(sa.select(1))  # What has not begun by then, alembic would commit by itself.
    config = _config()
    config.attributes["connection"] = connection
    with _alembic:
        command.upgrade(config, to)


def as_text(dialect: str, current: str | None) -> str:
    """Return the statements that bring a schema from a version, or from nothing, to this one."""
    text = StringIO()
    config = _config(text)
    config.attributes["dialect"] = dialect
    with _alembic:
        command.upgrade(config, f"{current}:head" if current else "head", sql=True)
    return text.getvalue()


def _config(output: TextIO | None = None) -> Config:
    config = Config(output_buffer=output)
    config.set_main_option("script_location", "notification_adapters.sql:migrations")
    config.set_main_option("path_separator", "os")
    return config
