"""The command line: :func:`main` runs it."""

from notification_entrypoints.cli.main import main

__all__ = ["main"]
