"""``dead-letters``: messages that were not events, read from the database itself.

The API and the console have them too, for administrators of all environments. These commands need
no server, and no key.
"""

import os
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from uuid import UUID

import click

from notification_core.errors import DeadLetterNotFound, EnvironmentBeingErased, InvalidInput
from notification_core.ingest.dead_letters import DeadLetterReplay
from notification_core.model.event import timestamp_of
from notification_core.ports.dead_letters import DeadLetterSummary, StoredDeadLetter
from notification_entrypoints.cli.groups import Commands
from notification_entrypoints.cli.options import ID, WholeNumber, data_option, examples
from notification_entrypoints.cli.terminal import (
    asynchronous,
    defaults_of,
    list_option,
    print_json,
    show_table,
)
from notification_entrypoints.commands.exit_codes import CommandFailed
from notification_entrypoints.commands.maintenance import open_dead_letters

_MOST_SHOWN = 100_000


@click.group("dead-letters", cls=Commands)
def command() -> None:
    """Look at messages from Kafka that were not events, and try them again.

    They are read from the database (DB_URI, DB_ENCRYPTION_SECRET), also while servers run.
    """


@command.command("list", epilog=examples("dead-letters list", "dead-letters list --limit 1 --json"))
@click.option(
    "--limit",
    type=WholeNumber(1, _MOST_SHOWN),
    default=50,
    show_default=True,
    help="Show no more than this, the newest first.",
)
@list_option
@data_option
@asynchronous
async def list_letters(limit: int, data: Path | None, *, as_json: bool) -> None:
    """List dead letters, with the reason; --json shows their bytes too, in Base64."""
    listed: list[DeadLetterSummary] = []
    async with open_dead_letters(os.environ, defaults_of(data, os.environ)) as letters:
        async for letter in letters.all():
            listed.append(letter)
            if as_json:
                await _print_whole(letters, letter.letter_id)
            if len(listed) == limit:
                break
    if as_json:
        return
    columns = ("letter_id", "stored_at", "topic", "partition", "offset", "reason")
    rows = [
        [
            str(letter.letter_id),
            timestamp_of(letter.stored_at),
            letter.topic,
            letter.partition,
            letter.offset,
            letter.reason,
        ]
        for letter in listed
    ]
    show_table(columns, rows, "There are no dead letters.")


@command.command(
    "replay", epilog=examples("dead-letters replay LETTER_ID", "dead-letters replay --all")
)
@click.argument("letter_ids", nargs=-1, type=ID)
@click.option("--all", "every", is_flag=True, help="Try all of them.")
@data_option
@asynchronous
async def replay(letter_ids: tuple[UUID, ...], data: Path | None, *, every: bool) -> None:
    """Read dead letters again, with what this version understands.

    What is an event now is published, and no dead letter any more; what is none still stays.
    """
    if every is bool(letter_ids):
        raise click.UsageError("Give either the ids of dead letters or --all.")
    left = 0
    async with open_dead_letters(os.environ, defaults_of(data, os.environ)) as letters:
        async for letter_id in _chosen(letters, letter_ids):
            try:
                replayed = await letters.replay(letter_id)
            except (InvalidInput, EnvironmentBeingErased) as error:
                left += 1
                click.echo(f"{letter_id}: {error}")
            else:
                click.echo(f"{letter_id} is event {replayed.event.event_id} now.")
    if left:
        raise CommandFailed(f"{left} of them are still not valid events.")


async def _chosen(letters: DeadLetterReplay, letter_ids: Sequence[UUID]) -> AsyncIterator[UUID]:
    for letter_id in letter_ids:
        yield letter_id
    if not letter_ids:
        async for letter in letters.all():
            yield letter.letter_id


async def _print_whole(letters: DeadLetterReplay, letter_id: UUID) -> None:
    """Print a dead letter with its bytes, unless it is gone since it was listed."""
    with suppress(DeadLetterNotFound):
        print_json(_fields(await letters.get(letter_id)))


def _fields(stored: StoredDeadLetter) -> Mapping[str, object]:
    message = stored.dead_letter.message
    return {
        "letter_id": str(stored.letter_id),
        "stored_at": timestamp_of(stored.stored_at),
        "topic": message.topic,
        "partition": message.partition,
        "offset": message.offset,
        "reason": stored.dead_letter.reason,
        "key": _in_base64(message.key),
        "value": _in_base64(message.value),
        "headers": [[name, _in_base64(value)] for name, value in message.headers],
    }


def _in_base64(value: bytes | None) -> str | None:
    return None if value is None else b64encode(value).decode()
