"""The demonstration: a pipeline's events arrive signed, through a retry and through a crash.

It runs the real thing in a folder of its own: the server, a receiver that verifies each request,
and the publisher, each a process, as anybody would start them. It exits with 0 if nothing was
lost, and ends all its processes in any case.
"""

import argparse
import json
import os
import re
import signal
import socket
import sys
import sysconfig
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from subprocess import PIPE, Popen, TimeoutExpired
from tempfile import TemporaryDirectory
from threading import Thread
from types import FrameType
from typing import IO, Self, TypedDict

from attrs import define, field, frozen
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

ENVIRONMENT = "0b6f2e0c-5d0c-4d7e-8a57-2f7a3f0f6f10"
PIPELINE = Path(__file__).with_name("pipeline.jsonl")
COMMAND = str(Path(sysconfig.get_path("scripts")) / "notification-management")
MANY = 2_000
PATIENCE = 60.0
OTHER_SETTINGS = re.compile(
    r"(API|DB|KAFKA|OPS|WEBHOOKS|RETENTION|PROJECT_MANAGEMENT|NOTIFICATION|POD)_.*|DEBUG|ENV|TZ"
)

console = Console(highlight=False, soft_wrap=True)

Request = tuple[str, int]
"""What names a request: the delivery's id and the number of the attempt."""


class Failure(Exception):
    """Something is not as promised, or did not come in time."""


class Received(TypedDict):
    """One line of ``listen --json``, as far as it matters here."""

    verified: bool
    problem: str | None
    event: str | None
    event_id: str | None
    http_code: int


class Attempt(TypedDict):
    """One attempt of the API's log, as far as it matters here."""

    delivery_id: str
    event_id: str
    attempt: int
    outcome: str


# The processes, and how they end.


@frozen
class Stage:
    """Where everything happens: the folder, and the two ports of the server."""

    folder: Path
    api_port: int
    ops_port: int

    def start(self, *arguments: str, stdout: int | None = None) -> "Program":
        """Start a command; what it says goes to a file of the folder, or where ``stdout`` says."""
        with (self.folder / f"{arguments[0]}.log").open("a") as log:
            process = Popen(  # noqa: S603 - our own command with our own arguments
                [COMMAND, *arguments],
                env=self._environ(),
                stdout=log if stdout is None else stdout,
                stderr=log,
                text=True,
            )
        return Program(arguments[0], process, Path(log.name))

    def run(self, *arguments: str) -> None:
        """Run a command to its end, in front of the reader."""
        program = self.start(*arguments, stdout=sys.stdout.fileno())
        wait_for(f"`{arguments[0]}` to end", program.has_succeeded)

    def get(self, path: str) -> Sequence[Attempt]:
        """Return all pages of a list of the API."""
        items: list[Attempt] = []
        connection = HTTPConnection("127.0.0.1", self.api_port, timeout=PATIENCE)
        next_page: str | None = path
        while next_page:
            connection.request("GET", next_page)
            response = connection.getresponse()
            items += json.load(response)
            link = re.search(
                r'<(?:https?://[^/]*)?(/[^>]*)>; *rel="next"', response.getheader("Link", "")
            )
            next_page = link and link[1]
        connection.close()
        return items

    def is_ready(self) -> bool:
        """Tell whether the server says that it is ready."""
        connection = HTTPConnection("127.0.0.1", self.ops_port, timeout=PATIENCE)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == HTTPStatus.OK
        except (OSError, HTTPException):
            return False
        finally:
            connection.close()

    def _environ(self) -> dict[str, str]:
        """Return the environment of all processes, without the settings of another installation."""
        ours = {n: value for n, value in os.environ.items() if not OTHER_SETTINGS.fullmatch(n)}
        return ours | {
            "API_SERVER_PORT": str(self.api_port),
            "OPS_SERVER_PORT": str(self.ops_port),
            "NOTIFICATION_API_URL": f"http://127.0.0.1:{self.api_port}/api",
        }


@frozen
class Program:
    """A process of the demonstration; a context manager that ends it."""

    name: str
    process: "Popen[str]"
    log: Path

    def lives(self) -> bool:
        """Tell that it lives; fail where it has ended by itself."""
        if self.process.poll() is not None:
            raise Failure(self.complaint())
        return True

    def has_succeeded(self) -> bool:
        """Tell whether it has come to a good end; fail at a bad one."""
        return self.process.poll() == 0 or not self.lives()

    def complaint(self) -> str:
        """Say that it failed, with what it said last."""
        last = self.log.read_text()[-2_000:].strip()
        return f"`notification-management {self.name}` ended with {self.process.returncode}: {last}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """End it, politely first."""
        self.process.terminate()
        try:
            self.process.wait(10)
        except TimeoutExpired:
            self.process.kill()
            self.process.wait()


@define
class Server:
    """The server: a context manager that ends whichever process is the present one."""

    stage: Stage
    program: Program = field(init=False)

    def start(self) -> None:
        """Start ``up`` and return once it is ready."""
        self.program = self.stage.start("up", "--data", str(self.stage.folder / "data"))
        wait_for("the server", lambda: self.program.lives() and self.stage.is_ready())

    def kill(self) -> None:
        """Kill it with -9."""
        self.program.process.kill()
        self.program.process.wait()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.program.end()


@define
class Receiver:
    """What ``listen`` has told so far, read by a thread of its own."""

    webhook_id: str = ""
    received: list[Received] = field(factory=list)
    requests: list[Request] = field(factory=list)
    show: Callable[[Received], None] = lambda _: None

    def read(self, lines: IO[str]) -> None:
        """Read until the process ends."""
        for line in lines:
            said = json.loads(line)
            if "listening" in said:
                self.webhook_id = said["webhook_id"]
                continue
            self.received.append(said)
            self.requests.append((said["webhook-delivery"], int(said["webhook-attempt"])))
            self.show(said)

    def arrived(self) -> Counter[str]:
        """Count, by event, the verified requests that got a 2xx."""
        return Counter(
            str(each["event_id"])
            for each in list(self.received)
            if each["verified"] and each["http_code"] < HTTPStatus.MULTIPLE_CHOICES
        )


def wait_for(what: str, condition: Callable[[], object]) -> None:
    """Return once the condition holds; fail when it does not come to that."""
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            raise Failure(f"Waited {PATIENCE:.0f} seconds in vain for {what}.")
        time.sleep(0.02)


def free_ports() -> tuple[int, int]:
    """Return two ports that nobody listens on."""
    address = ("127.0.0.1", 0)
    with socket.create_server(address) as one, socket.create_server(address) as other:
        return one.getsockname()[1], other.getsockname()[1]


# What is shown.


def step(text: str) -> None:
    """Say what happens now."""
    console.print(f"\n[bold cyan]▶ {text}[/]")


def show_request(received: Received) -> None:
    """Show one request that the receiver got."""
    said = received["problem"] or f"verified, returned {received['http_code']}"
    mark, style = ("✓", "green") if received["verified"] else ("✗", "red")
    line = Text(f"  {mark} ", style).append(
        f"{received['event']}  {received['event_id']}  ", "default"
    )
    console.print(
        line.append(
            said, "default" if received["http_code"] < HTTPStatus.MULTIPLE_CHOICES else "yellow"
        )
    )


@frozen
class Count:
    """What the second run came to."""

    acknowledged: int
    arrived: int
    requests: int
    unverified: int
    unlogged: int
    unfinished: int
    in_flight: int
    doubles: int

    def rows(self) -> Iterator[tuple[str, int, str, bool]]:
        """Yield what was counted, how many, what is promised, and whether that holds."""
        yield "events acknowledged", self.acknowledged, "", True
        yield "of these arrived", self.arrived, "all", self.arrived == self.acknowledged
        yield "without a final state", self.unfinished, "0", not self.unfinished
        yield "requests that the receiver saw", self.requests, "", True
        yield "of these not verified", self.unverified, "0", not self.unverified
        yield "of these not in the log", self.unlogged, "0", not self.unlogged
        yield "of these cut off by the kill", self.in_flight, "", True
        yield "arrived once more", self.doubles, "≤ those cut off", self.doubles <= self.in_flight

    def holds(self) -> bool:
        """Tell whether the promise holds."""
        return all(good for *_, good in self.rows())


def count(event_ids: set[str], receiver: Receiver, log: Sequence[Attempt], since: int) -> Count:
    """Count what was acknowledged against what the receiver saw and what the log says."""
    arrived = receiver.arrived()
    logged = {(each["delivery_id"], each["attempt"]): each["outcome"] for each in log}
    interrupted = {request for request, outcome in logged.items() if outcome == "interrupted"}
    succeeded = {each["event_id"] for each in log if each["outcome"] == "succeeded"}
    requests = receiver.requests[since:]
    return Count(
        acknowledged=len(event_ids),
        arrived=len(event_ids & set(arrived)),
        requests=len(requests),
        unverified=sum(not each["verified"] for each in receiver.received[since:]),
        unlogged=len(set(requests) - logged.keys()),
        unfinished=len(event_ids - succeeded),
        in_flight=len(set(requests) & interrupted),
        doubles=sum(arrived[event_id] - 1 for event_id in event_ids if arrived[event_id]),
    )


def show_count(counted: Count) -> None:
    """Show the result of the second run."""
    table = Table("", "counted", "promised", "", box=box.SIMPLE_HEAD)
    table.columns[1].justify = "right"
    for what, number, promised, good in counted.rows():
        table.add_row(what, f"{number:,}", promised, "[green]✓[/]" if good else "[red]✗[/]")
    console.print(table)


# The acts.


def first_run(stage: Stage, receiver: Receiver) -> None:
    """Send the life of a pipeline through the system, with a retry in it."""
    event_ids = {
        json.loads(line)["event_id"] for line in PIPELINE.read_text(encoding="utf-8").splitlines()
    }
    step(f"Publishing {PIPELINE.name}: {len(event_ids)} events of a pipeline and its jobs")
    receiver.show = show_request
    stage.run("publish", str(PIPELINE), "--environment", ENVIRONMENT)
    wait_for("every event to arrive", lambda: event_ids <= set(receiver.arrived()))
    wait_for("the log of every attempt", lambda: finished(stage, receiver, event_ids))
    receiver.show = lambda _: None
    step("The log of every attempt, newest first: one event got a 500 and was retried")
    stage.run("logs", receiver.webhook_id)


def second_run(stage: Stage, receiver: Receiver, server: Server, stack: ExitStack) -> Count:
    """Kill the server in the middle of a larger run, and count what was lost."""
    since = len(receiver.received)
    event_ids, file = many_events(stage.folder)
    step(f"Publishing {MANY:,} more; when a third has arrived, the server is killed with -9")
    publish = stack.enter_context(
        stage.start("publish", "-q", str(file), "--environment", ENVIRONMENT)
    )
    wait_for("a third to arrive", lambda: len(receiver.received) - since >= MANY // 3)
    server.kill()
    console.print(f"  Killed it after {len(receiver.received) - since:,} requests.")
    step("Starting it again, on the same files")
    killed_at = time.monotonic()
    server.start()
    wait_for("the publisher to end", publish.has_succeeded)
    wait_for("every event to arrive", lambda: event_ids <= set(receiver.arrived()))
    wait_for("the log of every attempt", lambda: finished(stage, receiver, event_ids))
    console.print(f"  All is delivered, {time.monotonic() - killed_at:.1f} seconds after the kill.")
    return count(event_ids, receiver, log_of(stage, receiver), since)


def many_events(folder: Path) -> tuple[set[str], Path]:
    """Write the events of the second run: the pipeline's, over and over, under ids of their own."""
    events = [json.loads(line) for line in PIPELINE.read_text(encoding="utf-8").splitlines()]
    many = [events[n % len(events)] | {"event_id": f"many-{n:04}"} for n in range(MANY)]
    file = folder / "many.jsonl"
    file.write_text("".join(f"{json.dumps(event)}\n" for event in many))
    return {event["event_id"] for event in many}, file


def log_of(stage: Stage, receiver: Receiver) -> Sequence[Attempt]:
    """Return the log of every attempt, newest first."""
    return stage.get(f"/api/webhooks/{receiver.webhook_id}/logs?limit=100")


def finished(stage: Stage, receiver: Receiver, event_ids: set[str]) -> bool:
    """Tell whether the log has a success of each event, and every request seen."""
    log = log_of(stage, receiver)
    succeeded = {each["event_id"] for each in log if each["outcome"] == "succeeded"}
    logged = {(each["delivery_id"], each["attempt"]) for each in log}
    return event_ids <= succeeded and set(receiver.requests) <= logged


def play(stage: Stage, stack: ExitStack) -> Count:
    """Play both acts."""
    step("Starting the server: notification-management up")
    server = stack.enter_context(Server(stage))
    console.print(f"  API http://127.0.0.1:{stage.api_port}/api, ready.")
    step("Starting a receiver: notification-management listen --answer 500,204")
    listen = stack.enter_context(
        stage.start(
            "listen", "--json", "--port", "0", "--answer", "500,204",
            "--environment", ENVIRONMENT, stdout=PIPE,
        )
    )  # fmt: skip
    receiver = Receiver()
    assert listen.process.stdout  # noqa: S101 - it was started with a pipe
    Thread(target=receiver.read, args=[listen.process.stdout], daemon=True).start()
    wait_for("the receiver to listen", lambda: listen.lives() and receiver.webhook_id)
    console.print(f"  It has subscribed webhook {receiver.webhook_id} to all event types.")
    first_run(stage, receiver)
    return second_run(stage, receiver, server, stack)


@contextmanager
def folder(kept: Path | None) -> Iterator[Path]:
    """Have a folder for the files: a new one that goes away again, unless it is to be kept."""
    if kept:
        kept.mkdir(parents=True)
        yield kept
    else:
        with TemporaryDirectory(prefix="notification-demo-") as temporary:
            yield Path(temporary)


def stop(number: int, _frame: FrameType | None) -> None:
    """End in order on SIGTERM, so that no process is left."""
    sys.exit(128 + number)


def main() -> int:
    """Play the demonstration; return 0 if nothing was lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--keep", type=Path, metavar="DIR", help="keep the files in this new folder"
    )
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, stop)
    try:
        with folder(arguments.keep) as place, ExitStack() as stack:
            counted = play(Stage(place, *free_ports()), stack)
            show_count(counted)
    except Failure as failure:
        console.print(Text(f"\n✗ {failure}", "red"))
        return 1
    console.print("Nothing is missing." if counted.holds() else "[red]The promise is broken.[/]")
    return 0 if counted.holds() else 1


if __name__ == "__main__":
    sys.exit(main())
