"""The real thing for tests: ``notification-management up`` as a process, and a client of its API.

Every process is ended by its own pid, and every wait ends.
"""

import asyncio
import os
import re
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from uuid import uuid4

import aiohttp
from attrs import define, field, frozen

from tests.faults.history import Stored
from tests.faults.place import DATABASE, FilePlace, Place
from tests.support.ports import free_ports
from tests.support.waiting import PATIENCE, until

COMMAND = Path(
    os.environ.get("TEST_COMMAND") or Path(sys.executable).with_name("notification-management")
)
"""What is tested: what is installed here, or another build of it."""
LAUNCHER = Path(__file__).with_name("tampering") / "launch.py"
TYPE = "job-created"

JsonObject = dict[str, object]

_SETTINGS = re.compile(
    r"(API|DB|KAFKA|OPERATIONAL|OPS|OTEL|WEBHOOKS|RETENTION|PROJECT_MANAGEMENT|NOTIFICATION|POD)_.*"
    r"|STARTUP_TIMEOUT|SHUTDOWN_DELAY|DEBUG|ENV|TZ"
)


@define
class Up:
    """One installation: a folder, its ports, and whichever process serves it at present.

    It is ``up``, or another ``command`` that serves. It stores in the folder, or in a ``place``.
    ``tampering`` is what the launcher does to the product before it runs.

    ``starts`` and ``readies`` tell when its processes were started and said that they were ready,
    ``kills`` when they were killed. ``open_files`` is the limit that they are started with.
    """

    folder: Path
    settings: Mapping[str, str] = field(factory=dict)
    command: str = "up"
    starts: list[datetime] = field(factory=list)
    readies: list[datetime] = field(factory=list)
    kills: list[datetime] = field(factory=list)
    ports: Sequence[int] = field(factory=lambda: free_ports(2))
    process: Process | None = None
    options: Sequence[str] = ()
    place: Place | None = None
    tampering: Sequence[str] = ()
    output: int | None = None
    open_files: int | None = None

    async def start(self) -> None:
        """Start it, and return once it says that it is ready."""
        await self.spawn()
        await until(f"`{self.command}` is ready", self.is_ready)
        self.readies.append(datetime.now(UTC))

    async def spawn(self) -> Process:
        """Start it, and do not wait."""
        self.starts.append(datetime.now(UTC))
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as file:
            log = file if self.output is None else self.output
            self.process = await asyncio.create_subprocess_exec(
                *self._arguments(),
                env=self._environ(), stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        return self.process

    async def kill(self) -> None:
        """Kill it with -9."""
        assert self.process
        self.process.kill()
        await self.process.wait()
        self.kills.append(datetime.now(UTC))

    async def terminate(self, within: float = PATIENCE) -> int:
        """Tell it to end by SIGTERM; return its exit code."""
        assert self.process
        self.process.terminate()
        return await asyncio.wait_for(self.process.wait(), within)

    async def ended(self, within: float = PATIENCE) -> int:
        """Wait for it to end by itself; return its exit code, which a signal makes negative."""
        assert self.process
        code = await asyncio.wait_for(self.process.wait(), within)
        if code < 0:
            self.kills.append(datetime.now(UTC))
        return code

    async def ended_well(self) -> None:
        """Start it, and wait for it to end by itself, without an error."""
        await self.spawn()
        assert await self.ended() == 0, self.said()

    async def close(self) -> None:
        """End its process, whatever it is doing."""
        if self.process and self.process.returncode is None:
            await self.kill()

    def said(self) -> str:
        """Return what all its processes have printed."""
        return self._log.read_text() if self._log.exists() else ""

    async def metrics(self) -> str:
        """Return its metrics; nothing while it does not answer."""
        try:
            url = f"http://127.0.0.1:{self.ports[1]}/metrics"
            async with aiohttp.request("GET", url) as response:
                return await response.text()
        except aiohttp.ClientError:
            return ""

    async def metric(self, name: str) -> float:
        """Return the sum of a metric over its labels."""
        samples = re.findall(rf"^{name}(?:{{.*}})? (\S+)", await self.metrics(), re.MULTILINE)
        return sum(map(float, samples))

    @property
    def most_memory(self) -> float:
        """The most megabytes that its process has had in memory."""
        assert self.process
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        peak = re.search(r"VmHWM:\s+(\d+) kB", status)
        assert peak
        return int(peak[1]) / 1000

    @property
    def workers(self) -> Sequence[int]:
        """The processes that it has started by itself, in the order of their starts."""
        assert self.process
        pid = self.process.pid
        return [
            int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        ]

    @property
    def database(self) -> Path:
        """The file that it stores in, where it has no other place."""
        return self.folder / DATABASE

    async def stored(self) -> Stored:
        """Look at what it has stored."""
        return await self._place.stored()

    async def is_done(self) -> bool:
        """Tell whether nothing waits and nobody works."""
        return await self._place.is_done()

    @property
    def _place(self) -> Place:
        return self.place or FilePlace(self.database)

    @property
    def _log(self) -> Path:
        return self.folder / f"{self.command}.log"

    def _arguments(self) -> Sequence[str | Path]:
        alone = self.command == "up" and self.place is None
        data = ("--data", self.folder / "data") if alone else ()
        return (*self._program(), self.command, *data, *self.options)

    def _program(self) -> Sequence[str | Path]:
        if self.open_files is not None:
            limited = f'ulimit -n {self.open_files} && exec "$@"'
            return ("sh", "-c", limited, "sh", COMMAND)
        return (sys.executable, LAUNCHER, *self.tampering) if self.tampering else (COMMAND,)

    def _environ(self) -> dict[str, str]:
        """Return the environment, without the settings of another installation."""
        api_port, ops_port = self.ports
        ours = {name: value for name, value in os.environ.items() if not _SETTINGS.fullmatch(name)}
        ports = {"API_SERVER_PORT": str(api_port), "OPS_SERVER_PORT": str(ops_port)}
        theirs = self.place.settings if self.place else {}
        return ours | ports | dict(theirs) | dict(self.settings)

    async def is_ready(self) -> bool:
        """Tell whether it says that it is ready; its end is an error."""
        assert self.process
        assert self.process.returncode is None, f"`{self.command}` ended: {self.said()}"
        try:
            async with aiohttp.request(
                "GET", f"http://127.0.0.1:{self.ports[1]}/readyz"
            ) as response:
                return response.status == HTTPStatus.OK
        except aiohttp.ClientError:
            return False


@frozen
class Api:
    """A client of the API, for one environment of its own."""

    session: aiohttp.ClientSession
    base: str
    environment: str = field(factory=lambda: str(uuid4()))

    async def subscribe(self, url: str, **fields: object) -> str:
        """Create a webhook for the one event type of the tests; return its id."""
        webhook = {"name": "a webhook", "url": url, "events": [TYPE], **fields}
        response = await self.call("POST", f"environments/{self.environment}/webhooks", webhook)
        return str(response["webhook_id"])

    async def change(self, webhook_id: str, **fields: object) -> JsonObject:
        """Put a webhook back with other values; None takes a field away."""
        webhook = await self.call("GET", f"webhooks/{webhook_id}") | fields
        kept = {name: value for name, value in webhook.items() if value is not None}
        return await self.call("PUT", f"webhooks/{webhook_id}", kept)

    async def delete(self, webhook_id: str) -> None:
        """Delete a webhook."""
        async with self.session.delete(f"{self.base}/webhooks/{webhook_id}") as response:
            assert response.status == HTTPStatus.NO_CONTENT, await response.text()

    async def publish(self, *event_ids: str, key: str | None = None) -> None:
        """Publish events of the tests' type, and have them acknowledged."""
        status = await self.try_to_publish([event_named(event_id, key) for event_id in event_ids])
        assert status == HTTPStatus.ACCEPTED

    async def try_to_publish(self, events: Sequence[JsonObject]) -> int:
        """Publish events; return the status of the response."""
        url = f"{self.base}/environments/{self.environment}/events"
        async with self.session.post(url, json=events) as response:
            await response.read()
            return response.status

    async def key(self) -> str:
        """Return the environment's public verification key in hex."""
        settings = await self.call("GET", f"environments/{self.environment}/settings")
        key = settings["public_verification_key"]
        assert isinstance(key, dict)
        return str(key["hex"])

    async def call_for_list(self, path: str) -> Sequence[JsonObject]:
        """Get a list, which must succeed."""
        async with self.session.get(f"{self.base}/{path}") as response:
            assert response.ok, await response.text()
            told = await response.json()
            assert isinstance(told, list)
            return told

    async def call(self, method: str, path: str, body: JsonObject | None = None) -> JsonObject:
        """Make a call that must succeed; return the object that it answers with."""
        async with self.session.request(method, f"{self.base}/{path}", json=body) as response:
            text = await response.text()
            assert response.ok, f"{response.status}: {text}"
            told = await response.json()
            assert isinstance(told, dict)
            return told


def event_named(event_id: str, key: str | None = None) -> JsonObject:
    """Return an event of the tests' type, as it is published."""
    event: JsonObject = {"event_id": event_id, "event": TYPE, "data": {"name": event_id}}
    return event if key is None else {**event, "ordering_key": key}


@asynccontextmanager
async def api_of(up: Up) -> AsyncIterator[Api]:
    """Give a client of an installation's API."""
    timeout = aiohttp.ClientTimeout(total=10)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        yield Api(session, f"http://127.0.0.1:{up.ports[0]}/api")


@asynccontextmanager
async def served_by(up: Up) -> AsyncIterator[Api]:
    """Have an installation serve for the length of the block; gives a client of its API."""
    try:
        await up.start()
        async with api_of(up) as api:
            yield api
    finally:
        await up.close()


@asynccontextmanager
async def running(
    folder: Path, place: Place | None = None, /, **settings: str
) -> AsyncIterator[tuple[Up, Api]]:
    """Run an installation in a folder, with settings of its own, for the length of the block."""
    up = Up(folder, settings, place=place)
    async with served_by(up) as api:
        yield up, api
