"""The command line: :func:`main` runs it."""

import sys
from collections.abc import Sequence

__all__ = ["main"]

try:
    from notification_entrypoints.cli.main import main
except ModuleNotFoundError as error:
    if error.name is None or error.name.startswith("notification_"):
        raise
    _missing = error.name

    def main(arguments: Sequence[str] | None = None) -> int:  # noqa: ARG001 - the signature of the other
        """Say which installation has the command line, and return the exit code."""
        sys.stderr.write(
            f"Error: The command line needs {_missing}, which is not installed. "
            "Install it with: pip install 'notification-management[service]'\n"
        )
        return 1
