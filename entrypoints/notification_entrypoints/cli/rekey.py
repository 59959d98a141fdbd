"""``rekey``: everything that is encrypted, re-encrypted under the present secret."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from notification_entrypoints.cli.options import data_option, examples
from notification_entrypoints.cli.terminal import asynchronous, defaults_of, messages
from notification_entrypoints.commands.exit_codes import CommandFailed
from notification_entrypoints.commands.maintenance import open_reencryption

_SECONDS_BETWEEN_LINES = 5.0


@click.command("rekey", epilog=examples("rekey", "rekey --data ~/notifications"))
@data_option
@asynchronous
async def command(data: Path | None) -> None:
    """Encrypt signing keys, custom headers and kept responses again under DB_ENCRYPTION_SECRET.

    The previous secrets are read from DB_ENCRYPTION_PREVIOUS_SECRETS; once this is done they may be
    forgotten. Servers may run meanwhile, if each has been started with both. Where it is
    interrupted, run it again.
    """
    async with open_reencryption(os.environ, defaults_of(data, os.environ)) as reencryption:
        with _progress(await reencryption.outdated()) as tell:
            rekeyed = await reencryption.run(tell)
    if rekeyed.unreadable:
        places = "\n  ".join(rekeyed.places)
        raise CommandFailed(
            f"{_secrets(rekeyed.unreadable)} cannot be read under any of the secrets given, so "
            "the previous ones are still needed. Name the missing one among "
            f"DB_ENCRYPTION_PREVIOUS_SECRETS, and run this again:\n  {places}"
        )
    click.echo(
        f"{_secrets(rekeyed.count)} re-encrypted. No secret is left under a previous one: "
        "DB_ENCRYPTION_PREVIOUS_SECRETS may be emptied."
    )


@contextmanager
def _progress(total: int) -> Iterator[Callable[[int], None]]:
    """Show how far it is: a bar on a terminal, now and then a line elsewhere."""
    console = messages()
    if not console.is_terminal:
        yield _lines(total, lambda line: console.print(line, markup=False))
        return
    columns = (TextColumn("Re-encrypting"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=total)
        yield lambda count: progress.update(task, completed=count, total=max(total, count))


def _lines(total: int, say: Callable[[str], None]) -> Callable[[int], None]:
    next_at = 0.0

    def tell(count: int) -> None:
        nonlocal next_at
        if time.monotonic() >= next_at:
            next_at = time.monotonic() + _SECONDS_BETWEEN_LINES
            say(f"{count:,} of {max(total, count):,} re-encrypted")

    return tell


def _secrets(count: int) -> str:
    return "1 secret" if count == 1 else f"{count:,} secrets"
