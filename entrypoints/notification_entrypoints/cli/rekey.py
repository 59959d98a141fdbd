"""``rekey``: everything that is encrypted, re-encrypted under the present secret."""

import os
from pathlib import Path

import click

from notification_entrypoints.cli.options import data_option, examples
from notification_entrypoints.cli.progress import progress
from notification_entrypoints.cli.terminal import asynchronous, defaults_of
from notification_entrypoints.commands.exit_codes import CommandFailed
from notification_entrypoints.commands.maintenance import open_reencryption


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
        total = await reencryption.outdated()
        with progress(total, "Re-encrypting", "re-encrypted") as tell:
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


def _secrets(count: int) -> str:
    return "1 secret" if count == 1 else f"{count:,} secrets"
