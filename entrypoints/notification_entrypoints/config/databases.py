"""Which database the settings mean, and the secret that belongs to an embedded one."""

import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile

from notification_adapters.postgres_uri import PostgresUri, parse_postgres_uri
from notification_core.errors import StorageUnusable
from notification_entrypoints.config.parsers import Authentication, is_loopback
from notification_entrypoints.config.settings import Settings
from notification_entrypoints.config.variables import decode_text, is_secret_set

FILE_NAME = "notification-management.sqlite"
"""The database's file in the folder that ``up`` keeps its data in."""

_SQLITE = "sqlite:///"
_SECRET = "DB_ENCRYPTION_SECRET"  # noqa: S105 - a variable's name
_SECRET_BYTES = 16
_LOOPBACK = "127.0.0.0/8,::1/128"


def up_defaults(folder: Path, environ: Mapping[str, str]) -> Mapping[str, str]:
    """Return the defaults of ``up`` for variables that are not set at all.

    The embedded database's secret is made on first need and kept beside its file.
    """
    database = embedded_database(folder, environ)
    defaults = _open_defaults(folder, environ)
    return {**defaults, **({_SECRET: _stored_secret(database)} if database else {})}


def existing_up_defaults(folder: Path, environ: Mapping[str, str]) -> Mapping[str, str]:
    """Return the same without making anything: a secret only where one is kept already."""
    database = embedded_database(folder, environ)
    defaults = _open_defaults(folder, environ)
    if database is None or not secret_path(database).exists():
        return defaults
    return {**defaults, _SECRET: _stored_secret(database)}


def embedded_database(folder: Path, environ: Mapping[str, str]) -> Path | None:
    """Return the file beside which the secret is kept; None where the environment gives one."""
    uri = environ.get("DB_URI", _embedded_uri(folder))
    return None if is_secret_set(environ, _SECRET) else file_of(uri)


def _open_defaults(folder: Path, environ: Mapping[str, str]) -> Mapping[str, str]:
    return {
        "DB_URI": _embedded_uri(folder),
        "KAFKA_BROKERS": "",
        "PROJECT_MANAGEMENT_API_URI": "",
        **({"WEBHOOKS_ALLOWED_NETWORKS": _LOOPBACK} if _is_private(environ) else {}),
    }


def _embedded_uri(folder: Path) -> str:
    return f"{_SQLITE}{folder.resolve() / FILE_NAME}"


def _is_private(environ: Mapping[str, str]) -> bool:
    """Tell whether every caller of the API is a program of this host that needs no credential.

    Only such callers may have requests sent to loopback, where the ops server and other services
    of the host listen: they can reach these anyway.
    """
    host = environ.get("API_SERVER_HOST", environ.get("POD_IP", "127.0.0.1"))
    authentication = environ.get("API_AUTH", Authentication.NONE).strip()
    return authentication == Authentication.NONE and is_loopback(host)


def file_of(uri: str) -> Path | None:
    """Return the file that a database's URI names; None where it names a server."""
    return Path(uri.removeprefix(_SQLITE)) if uri.startswith(_SQLITE) else None


def server_uri(uri: str, settings: Settings) -> PostgresUri:
    """Complete a server's URI by the variables for what it leaves out: user, password, database."""
    return parse_postgres_uri(uri if "://" in uri else f"postgresql://{uri}").completed(
        user=settings.db.auth_user,
        password=settings.db.auth_pass,
        database=settings.db.database,
    )


def secret_path(database: Path) -> Path:
    """Return where the secret of an embedded database is kept."""
    return database.with_name(f"{database.name}.secret")


def _stored_secret(database: Path) -> str:
    """Return an embedded database's secret, which is made with the database."""
    path = secret_path(database)
    try:
        if not path.exists():
            if database.exists():
                raise StorageUnusable(
                    f"{database} is there, but not its secret {path}. Put the secret back, "
                    "or set DB_ENCRYPTION_SECRET to it; without it the stored keys cannot be read."
                )
            _make_secret(path)
        return decode_text(path.read_bytes()).strip()
    except OSError as error:
        raise StorageUnusable(
            f"The secret {path} can be neither read nor made: {error.strerror}. Name a folder "
            "that is writable, or set DB_ENCRYPTION_SECRET."
        ) from error
    except ValueError as error:
        raise StorageUnusable(f"{path} is no text in UTF-8: {error}. Put it back.") from None


def _make_secret(path: Path) -> None:
    """Write a new secret whole or not at all; of two processes the first one wins."""
    folder = path.parent
    if not folder.parent.is_dir():  # more than one missing folder is rather a mistyped path
        raise StorageUnusable(f"The folder {folder.parent} does not exist: make it first.")
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise StorageUnusable(f"{folder} cannot be made a folder: {error.strerror}.") from error
    with NamedTemporaryFile("w", dir=folder, prefix=path.name) as file:
        file.write(secrets.token_hex(_SECRET_BYTES))
        file.flush()
        os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(file.name, path)
