"""Workers and their supervisor, where something goes wrong between them."""

import asyncio
import socket
import sys
import tempfile
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

from notification_adapters.clock import SystemClock
from notification_core.errors import NotificationError
from notification_core.model.event import Source
from notification_entrypoints.observability.metrics import Metrics
from notification_entrypoints.process.supervisor import supervised_worker
from notification_entrypoints.process.supervisor.aggregate import WorkerPoolMetrics
from notification_entrypoints.process.supervisor.supervised_worker import SupervisedWorker
from notification_entrypoints.process.supervisor.supervisor import socket_folder
from notification_entrypoints.process.supervisor.worker_process import (
    WorkerProcess,
    WorkerResponse,
)
from notification_entrypoints.serving.worker_channel import WorkerAddress
from tests.support.waiting import until

_LONG_LINE_THEN_READY = """
print("x" * 200_000)
print('{"ready": "here I am"}', flush=True)
input()
"""


async def process_of(program: str) -> WorkerProcess:
    """Start a program in a worker's place."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdin=PIPE, stdout=PIPE
    )
    return WorkerProcess(WorkerAddress(1, Path("nowhere"), "", 0), process)


def metrics(events: int) -> bytes:
    counted = Metrics("1.2.3", "abc")
    counted.events_ingested(Source.HTTP, events, 0)
    return counted.rendered()


async def test_a_line_that_is_too_long_to_be_meant_for_us_is_ignored() -> None:
    process = await process_of(_LONG_LINE_THEN_READY)
    ending = asyncio.create_task(process.wait())
    assert await process.ready == "here I am"
    process.stop()
    assert await ending != 0, "it found nothing to read"


async def test_where_no_process_can_be_made_for_a_time_a_worker_is_started_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(supervised_worker, "FIRST_PAUSE", 0.001)
    worker, started = SupervisedWorker(1, SystemClock()), 0

    async def start(_: int) -> WorkerProcess:
        nonlocal started
        started += 1
        if started in {2, 3}:
            raise OSError("Resource temporarily unavailable")
        return await process_of("" if started == 1 else "input()")

    async def runs_again() -> bool:
        return started == 4 and worker.process is not None

    running = asyncio.create_task(worker.run(start, lambda _: None))
    await until("it runs again", runs_again)
    worker.stop()
    await running


async def test_where_the_first_process_cannot_be_made_that_is_said() -> None:
    async def start(_: int) -> WorkerProcess:
        raise OSError("Resource temporarily unavailable")

    with pytest.raises(OSError, match="unavailable"):
        await SupervisedWorker(1, SystemClock()).run(start, lambda _: None)


def test_without_a_temporary_folder_the_sockets_are_in_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")  # as on a read-only root file system
    with socket_folder() as folder:
        assert folder.parent == Path("/dev/shm")  # noqa: S108 - the folder in it is private
        assert folder.stat().st_mode & 0o777 == 0o700
    assert not folder.exists()


def test_a_temporary_folder_whose_path_is_too_long_for_a_socket_is_not_taken(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    long = tmp_path / ("x" * 100)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    with socket_folder() as folder, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "1000.sock"))
    assert not list(long.iterdir())


def test_without_any_folder_the_message_says_what_to_set() -> None:
    with pytest.raises(NotificationError, match=r"^--workers needs a folder .* set TMPDIR"):
        socket_folder(["/nowhere"]).__enter__()


async def test_what_a_worker_told_before_it_died_is_not_counted_again_as_its_successors(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    worker = SupervisedWorker(1, SystemClock())
    worker.process = former = await process_of("")
    counts = WorkerPoolMetrics([worker], Metrics("1.2.3", "abc"))

    async def respond(*_: object) -> WorkerResponse | None:
        return WorkerResponse(200, "text/plain", metrics(events=100))

    async def respond_and_die(*_: object) -> WorkerResponse | None:
        response = await respond()
        counts.worker_exited(1)
        worker.process = successor
        return response

    monkeypatch.setattr(SupervisedWorker, "ask", respond)
    await counts.exposed()
    successor = await process_of("")
    monkeypatch.setattr(SupervisedWorker, "ask", respond_and_die)
    exposed = (await counts.exposed()).decode()
    assert 'notification_events_total{result="accepted",source="http"} 100.0' in exposed
    for process in (former, successor):
        await process.wait()
