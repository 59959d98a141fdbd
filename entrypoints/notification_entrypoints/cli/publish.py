"""``publish``: events from a file of JSON lines, or a single one."""

import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from typing import BinaryIO
from uuid import UUID, uuid4

import click
import msgspec
from attrs import define
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from notification_core.errors import InvalidEvent
from notification_entrypoints.cli.client import Api, ApiClient, api_option, patiently
from notification_entrypoints.cli.examples import examples
from notification_entrypoints.cli.ids import ID
from notification_entrypoints.cli.lines import Batch, Line, batches, identified, read_lines
from notification_entrypoints.cli.terminal import (
    json_option,
    messages,
    output,
    print_json,
    printable,
    run,
)
from notification_entrypoints.commands.exit_codes import ApiRefused, ApiUnavailable, CommandFailed

_MAX_NAMED = 10
_PLACE = re.compile(r"\[(\d+)\]\.?(.*)")
_TOO_LARGE = 413


class _Published(msgspec.Struct):
    event_id: str
    duplicate: bool


_PUBLISHED = msgspec.json.Decoder(list[_Published])


@click.command(
    "publish",
    epilog=examples(
        "publish events.jsonl --environment ID",
        "publish --environment ID --event job-completed --data '{}'",
    ),
)
@click.argument("file", type=click.File("rb"), required=False)
@click.option("--environment", type=ID, required=True, help="Where it happened.")
@click.option("--event", "event_type", metavar="TYPE", help="Publish one event of this type …")
@click.option("--data", metavar="JSON", help="… with this data.")
@click.option(
    "--retry-for",
    type=click.FloatRange(0, 3600),
    default=30,
    show_default=True,
    metavar="SECONDS",
    help="How long to try again while the API is away.",
)
@json_option
@api_option
def command(  # noqa: PLR0913 - one parameter an option
    *,
    file: BinaryIO | None,
    environment: UUID,
    event_type: str | None,
    data: str | None,
    retry_for: float,
    api: Api,
    as_json: bool,
) -> None:
    """Publish the events of FILE (- for standard input), one JSON object a line.

    Events go in batches of up to 500 and 8 MiB, each stored whole or not at all. An event
    without event_id gets one here, before the first try, so that no retry publishes it twice.
    """
    lines, size = _source(file, event_type, data)
    with _progress(size) if file else nullcontext(_say_nothing) as tell:
        publishing = _Publishing(environment, timedelta(seconds=retry_for), tell)
        try:
            run(publishing.publish(api, lines))
        except KeyboardInterrupt as error:
            said = f"Interrupted; {publishing.events:,} events are published."
            raise CommandFailed(said) from error
    if as_json:
        print_json({"events": publishing.events, "duplicates": publishing.duplicates})
    else:
        output().print(_summary(publishing))


def _source(
    file: BinaryIO | None, event_type: str | None, data: str | None
) -> tuple[Iterator[Line], int | None]:
    """Return the events to publish, and their bytes where they are known beforehand."""
    if file is not None and event_type is None and data is None:
        name = getattr(file, "name", "the input")
        return read_lines(file, str(name), _new_id), _size(file)
    if file is None and event_type is not None and data is not None:
        message = b'{"event":%b,"data":%b}' % (msgspec.json.encode(event_type), data.encode())
        try:
            return iter([Line(0, identified(message, _new_id), len(message))]), len(message)
        except InvalidEvent as error:
            raise click.BadParameter("This is not JSON.", param_hint="--data") from error
    raise click.UsageError("Give either a FILE of JSON lines, or both --event and --data.")


def _new_id() -> str:
    return str(uuid4())


def _size(file: BinaryIO) -> int | None:
    try:
        status = os.fstat(file.fileno())
    except OSError:
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


@define
class _Publishing:
    """One run of the command: what it was told, and how far it is."""

    environment: UUID
    patience: timedelta
    tell: Callable[[int, int], None]
    events: int = 0
    duplicates: int = 0

    async def publish(self, api: Api, lines: Iterator[Line]) -> None:
        async with ApiClient(api) as client:
            for batch in batches(lines):
                await self._send(client, batch)

    async def _send(self, client: ApiClient, batch: Batch) -> None:
        path, body = f"/environments/{self.environment}/events", batch.body
        try:
            answer = await patiently(
                lambda: client.request("POST", path, body), self.patience, _say_waiting
            )
        except ApiRefused as error:
            if error.status != _TOO_LARGE or len(batch.lines) == 1:
                raise CommandFailed(self._refusal(batch, error)) from error
        except ApiUnavailable as error:
            raise CommandFailed(f"{error} {self._so_far()}") from error
        else:
            self._count(batch, _PUBLISHED.decode(answer))
            return
        # Too many bytes, or webhooks for so many events: the parts are tried by themselves.
        for half in batch.halves():
            await self._send(client, half)

    def _count(self, batch: Batch, published: list[_Published]) -> None:
        self.events += len(published)
        self.duplicates += sum(each.duplicate for each in published)
        self.tell(self.events, batch.lines[-1].end)

    def _refusal(self, batch: Batch, error: ApiRefused) -> str:
        """Say what is wrong in words of the file that the events came from."""
        named = [
            printable(f"{_place(batch, detail.field)}: {detail.message}")
            for detail in error.details[:_MAX_NAMED]
        ]
        if len(error.details) > _MAX_NAMED:
            named.append(f"and {len(error.details) - _MAX_NAMED} more")
        return "\n  ".join([f"{_whole(batch)} refused.", *(named or [str(error)]), self._so_far()])

    def _so_far(self) -> str:
        return f"{self.events:,} events were published before."


def _whole(batch: Batch) -> str:
    first, last = batch.lines[0].number, batch.lines[-1].number
    if not first:
        return "The event is"
    return f"Line {first} is" if first == last else f"Lines {first} to {last} are"


def _place(batch: Batch, field: str) -> str:
    """Return where in the file a field of the batch stands."""
    match = _PLACE.fullmatch(field)
    if match is None or int(match[1]) >= len(batch.lines):
        return field
    number = batch.lines[int(match[1])].number
    return ", ".join([*([f"line {number}"] if number else []), *([match[2]] if match[2] else [])])


def _say_nothing(_events: int, _end: int) -> None:
    """One event needs no progress."""


def _say_waiting(error: ApiUnavailable) -> None:
    messages().print(f"Trying again: {printable(str(error))}", style="yellow", markup=False)


def _summary(publishing: _Publishing) -> str:
    events = "1 event is" if publishing.events == 1 else f"{publishing.events:,} events are"
    known = f", {publishing.duplicates:,} of them known before" if publishing.duplicates else ""
    return f"{events} published{known}."


@contextmanager
def _progress(size: int | None) -> Iterator[Callable[[int, int], None]]:
    """Show how far it is: a bar on a terminal, counts elsewhere."""
    console = messages()
    if not console.is_terminal:
        yield lambda events, _: console.print(f"{_counted(events)} published")
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("Publishing", total=size)
        yield lambda events, end: progress.update(
            task, completed=end, description=f"{events:,} events"
        )


def _counted(events: int) -> str:
    return "1 event" if events == 1 else f"{events:,} events"
