"""``publish``: events from a file of JSON lines, or a single one, cut into batches."""

import codecs
import os
import re
import stat
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from typing import BinaryIO
from uuid import UUID, uuid4

import click
import msgspec
from attrs import define, frozen
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from notification_client import PublishedEvent
from notification_core.errors import InvalidEvent, TooLarge
from notification_core.model.event import MAX_EVENT_BYTES
from notification_entrypoints.cli.client import Api, ApiClient, api_option
from notification_entrypoints.cli.completion import complete_event_type
from notification_entrypoints.cli.ids import environment_option
from notification_entrypoints.cli.options import EVENT_ID, Wait, examples
from notification_entrypoints.cli.tables import printable
from notification_entrypoints.cli.terminal import (
    RowPrinter,
    list_option,
    messages,
    print_raw_json,
    run,
)
from notification_entrypoints.commands.exit_codes import ApiRefused, ApiUnavailable, CommandFailed

_encode = msgspec.json.encode

_WHITESPACE = b" \t\r\n"
_MAX_NAMED = 10
_PLACE = re.compile(r"\[(\d+)\]\.?(.*)")


@frozen
class Line:
    """One event of a file, and where it ends in it: the line's number and the bytes up to there."""

    number: int
    message: bytes
    end: int


class _Identified(msgspec.Struct):
    event_id: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_PUBLISHED = msgspec.json.Decoder(list[PublishedEvent])
_IDENTIFIED = msgspec.json.Decoder(_Identified)


@click.command(
    "publish",
    epilog=examples(
        "publish events.jsonl --environment ID",
        "publish --environment ID --event job-status-changed --data \\",
        """  '{"job_id":"7","pipeline_id":"7d0a","previous_status":"queued","status":"running"}'""",
    ),
)
@click.argument("file", type=click.File("rb"), required=False)
@environment_option("The environment of the events")
@click.option(
    "--event",
    "event_type",
    metavar="TYPE",
    shell_complete=complete_event_type,
    help="Publish one event of this type …",
)
@click.option("--data", metavar="JSON", help="… with this data …")
@click.option("--event-id", type=EVENT_ID, metavar="ID", help="… this id (default: a new one) …")
@click.option("--ordering-key", metavar="KEY", help="… and this ordering key.")
@click.option(
    "--retry-for",
    type=Wait(timedelta(hours=1)),
    default="30s",
    show_default=True,
    help="How long to retry while the API is unavailable, like 30s or 5m.",
)
@click.option("--quiet", "-q", is_flag=True, help="Print the totals only.")
@list_option
@api_option
def command(  # noqa: PLR0913 - one parameter an option
    *,
    file: BinaryIO | None,
    environment: UUID,
    event_type: str | None,
    data: str | None,
    event_id: str | None,
    ordering_key: str | None,
    retry_for: timedelta,
    quiet: bool,
    api: Api,
    as_json: bool,
) -> None:
    """Publish the events of FILE (- for standard input), one JSON object a line.

    Each event's id is printed with its outcome: published, or duplicate if an event of that id was
    known already. Events go in batches of up to 500 and 8 MiB, each stored whole or not at all. An
    event without event_id gets one here, before the first try, so that no retry publishes it twice.
    """
    members = {"event_id": event_id, "ordering_key": ordering_key}
    lines, size = _source(file, event_type, data, members)
    with _progress(size) if file else nullcontext(lambda _events, _end: None) as tell:
        publishing = _Publishing(
            environment,
            retry_for,
            tell,
            None if quiet or as_json else RowPrinter(("event_id", "outcome"), goes_on=True),
            prints_json=as_json and not quiet,
        )
        try:
            run(publishing.publish(api, lines))
        except KeyboardInterrupt as error:
            new = publishing.events - publishing.duplicates
            raise CommandFailed(f"Interrupted; {new:,} published.") from error
    messages().print(publishing.totals)
    if publishing.warnings > _MAX_NAMED:
        messages().print(f"There were {publishing.warnings - _MAX_NAMED:,} more warnings.")


def _source(
    file: BinaryIO | None,
    event_type: str | None,
    data: str | None,
    members: Mapping[str, str | None],
) -> tuple[Iterator[Line], int | None]:
    """Return the events to publish, and their bytes where they are known beforehand.

    ``members`` are those that a single event may have besides.
    """
    given = {name: value for name, value in members.items() if value is not None}
    if file is not None and event_type is None and data is None and not given:
        name = getattr(file, "name", "the input")
        return read_lines(file, str(name), _new_id), _size(file)
    if file is None and event_type is not None and data is not None:
        head = _encode({"event": event_type, **given}).removesuffix(b"}")
        message = b'%b,"data":%b}' % (head, data.encode())
        try:
            return iter([Line(0, identified(message, _new_id), len(message))]), len(message)
        except InvalidEvent as error:
            raise click.BadParameter(
                'This is not JSON, such as {"status": "running"}.', param_hint="--data"
            ) from error
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
    printer: RowPrinter | None
    prints_json: bool
    events: int = 0
    duplicates: int = 0
    warnings: int = 0

    @property
    def totals(self) -> str:
        """How many events were published, and how many of them were known."""
        duplicates = "1 duplicate" if self.duplicates == 1 else f"{self.duplicates:,} duplicates"
        return f"{self.events - self.duplicates:,} published, {duplicates}."

    async def publish(self, api: Api, lines: Iterator[Line]) -> None:
        unstored: deque[Line] = deque()

        def events() -> Iterator[bytes]:
            for line in lines:
                unstored.append(line)
                yield line.message

        try:
            async with ApiClient(api, self.patience, _say_why) as client:
                async for count, response in client.publish(self.environment, events()):
                    self._stored([unstored.popleft() for _ in range(count)], response)
        except ApiRefused as error:
            refused = [unstored[place - self.events] for place in error.events]
            raise CommandFailed(self._refusal(refused, error)) from error
        except ApiUnavailable as error:
            raise CommandFailed(f"{error} {self._so_far()}") from error

    def _stored(self, lines: Sequence[Line], response: bytes) -> None:
        published = _PUBLISHED.decode(response)
        if self.prints_json:
            print_raw_json(response)
        if self.printer:
            self.printer.print([(event.event_id, outcome_of(event)) for event in published])
        self._warn(lines, published)
        self.events += len(published)
        self.duplicates += sum(event.duplicate for event in published)
        self.tell(self.events, lines[-1].end)

    def _warn(self, lines: Sequence[Line], published: Sequence[PublishedEvent]) -> None:
        """Show what does not fit its schema, in words of the file: the first ten things."""
        for line, event in zip(lines, published, strict=True):
            for warning in event.warnings:
                self.warnings += 1
                if self.warnings <= _MAX_NAMED:
                    text = printable(f"Warning: {_place(line, warning.field)}: {warning.message}")
                    messages().print(text, style="yellow", markup=False)

    def _refusal(self, lines: Sequence[Line], error: ApiRefused) -> str:
        """Say what is wrong in words of the file that the events came from."""
        named = [
            printable(f"{self._place_in(lines, detail.field)}: {detail.message}")
            for detail in error.details[:_MAX_NAMED]
        ]
        if len(error.details) > _MAX_NAMED:
            named.append(f"and {len(error.details) - _MAX_NAMED} more")
        first, last = lines[0].number, lines[-1].number
        which = f"Line {first} is" if first == last else f"Lines {first} to {last} are"
        refused = f"{which if first else 'The event is'} refused."
        return "\n  ".join([refused, *(named or [str(error)]), self._so_far()])

    def _place_in(self, lines: Sequence[Line], field: str) -> str:
        match = _PLACE.fullmatch(field)
        index = int(match[1]) - self.events if match else len(lines)
        return _place(lines[index], match[2]) if match and index < len(lines) else field

    def _so_far(self) -> str:
        return f"Before that: {self.totals}"


def _say_why(error: ApiUnavailable) -> None:
    messages().print(f"Retrying: {printable(str(error))}", style="yellow", markup=False)


def outcome_of(event: PublishedEvent) -> str:
    """Return what happened to a published event, in a word."""
    return "duplicate" if event.duplicate else "published"


def _place(line: Line, field: str) -> str:
    """Return where in the file a field of an event stands."""
    return ", ".join(
        [*([f"line {line.number}"] if line.number else []), *([field] if field else [])]
    )


@contextmanager
def _progress(size: int | None) -> Iterator[Callable[[int, int], None]]:
    """Show the progress unless the rows are on a terminal: a bar on one, else counts."""
    console = messages()
    if sys.stdout.isatty():
        yield lambda _events, _end: None  # The rows themselves show it.
        return
    if not console.is_terminal:
        yield lambda events, _: console.print(
            "1 event acknowledged" if events == 1 else f"{events:,} events acknowledged"
        )
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("Publishing", total=size)
        yield lambda events, end: progress.update(
            task, completed=end, description=f"{events:,} events"
        )


def read_lines(file: BinaryIO, name: str, make_event_id: Callable[[], str]) -> Iterator[Line]:
    """Read the events of a file; empty lines are skipped.

    Raises :class:`InvalidEvent` and :class:`TooLarge`, which name the file and the line.
    """
    number = end = 0
    # One byte more than may be tells the line that is too long, and no line fills the memory.
    while line := file.readline(MAX_EVENT_BYTES + len(b"\r\n") + 1):
        number, end = number + 1, end + len(line)
        if number == 1 and line.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise InvalidEvent(f"{name} is UTF-16, as its byte order mark says: save it as UTF-8.")
        message = line.removeprefix(codecs.BOM_UTF8).strip(_WHITESPACE)
        if len(message) > MAX_EVENT_BYTES:
            raise TooLarge(f"Line {number} of {name} has more than {MAX_EVENT_BYTES:,} bytes.")
        if message:
            try:
                yield Line(number, identified(message, make_event_id), end)
            except InvalidEvent as error:
                raise InvalidEvent(f"Line {number} of {name}: {error}") from error


def identified(message: bytes, make_event_id: Callable[[], str]) -> bytes:
    """Return an event with an id in it, so that publishing it twice is publishing it once.

    All else stays as it is. Raises :class:`InvalidEvent` for what is no JSON object.
    """
    try:
        if _IDENTIFIED.decode(message).event_id is not msgspec.UNSET:
            return message
    except (ValueError, RecursionError) as error:
        raise InvalidEvent(f"This is not an event: {error}.") from error
    comma = b"" if message[1:].lstrip(_WHITESPACE).startswith(b"}") else b","
    return b'{"event_id":"%b"%b' % (make_event_id().encode(), comma) + message[1:]
