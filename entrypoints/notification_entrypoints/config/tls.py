"""Whom a client of ours trusts, as a setting says it."""

from pathlib import Path
from ssl import SSLContext

from notification_adapters.http.destination_guard import trust_in
from notification_core.errors import Detail, InvalidSettings


def trust_of(variable: str, authorities: Path | None) -> SSLContext | None:
    """Return what trusts the certificates of a file, None without one: the system's are trusted.

    Raises :class:`InvalidSettings`, which names the variable, where the file cannot be read.
    """
    if authorities is None:
        return None
    try:
        return trust_in(authorities)
    except OSError as error:  # ssl.SSLError is one too
        reason = error.strerror or error
        problem = (
            f"{variable} is {str(authorities)!r}, but must be a file of PEM certificates "
            f"that this process can read ({reason})"
        )
        raise InvalidSettings(
            f"The settings are refused: {problem}.", [Detail(variable, problem)]
        ) from error
