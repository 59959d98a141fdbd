"""Log lines on a pipe that nobody reads: the process goes on, and what is missing is counted."""

import fcntl
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from http import HTTPStatus
from io import StringIO, TextIOWrapper
from pathlib import Path

import aiohttp
import pytest

from notification_entrypoints.commands.exit_codes import Exit
from notification_entrypoints.observability.log_output import LogOutput
from notification_entrypoints.observability.logging_observer import LoggingObserver
from tests.faults.place import place_on
from tests.faults.stage import Up, served_by
from tests.support.ports import free_ports
from tests.support.postgres_server import PostgresServer
from tests.support.receivers import Receiver
from tests.support.waiting import until

SMALLEST_PIPE = 4096
LINE = "x" * 99
STOPS_WITHIN = 15


class StuckPipe:
    """A pipe of 4 KiB that is full, and not read yet."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()
        fcntl.fcntl(self.writer, fcntl.F_SETPIPE_SZ, SMALLEST_PIPE)
        os.write(self.writer, b"." * SMALLEST_PIPE)
        self.stream = TextIOWrapper(os.fdopen(self.writer, "wb", 0), write_through=True)
        self.text = ""

    async def has(self, word: str) -> bool:
        """Read on; tell whether a word has been read."""
        os.set_blocking(self.reader, False)
        with suppress(BlockingIOError):
            self.text += os.read(self.reader, 2**20).decode()
        return word in self.text

    def close(self) -> None:
        os.close(self.reader)
        self.stream.close()


@pytest.fixture
def pipe() -> Iterator[StuckPipe]:
    pipe = StuckPipe()
    yield pipe
    pipe.close()


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    logger = logging.getLogger("test of the output")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    yield logger
    logger.handlers.clear()


async def test_lines_that_find_no_room_are_dropped_counted_and_told_of(
    pipe: StuckPipe, logger: logging.Logger
) -> None:
    output = LogOutput(pipe.stream, max_bytes=2_000)
    output.setFormatter(logging.Formatter("%(message)s %(count)s", defaults={"count": ""}))
    logger.addHandler(output)
    for _ in range(40):
        logger.info(LINE)  # of 101 bytes
    dropped = output.dropped
    assert dropped >= 40 - 20
    await until("it is told of", lambda: pipe.has(f"log_lines_dropped {dropped}\n"))
    assert pipe.text.count(LINE) == 40 - dropped
    logger.info("the next one")
    await until("it goes on", lambda: pipe.has("the next one"))
    assert pipe.text.count("log_lines_dropped") == 1


async def test_while_its_reader_is_gone_lines_are_counted_and_nothing_else_happens(
    logger: logging.Logger,
) -> None:
    pipe = StuckPipe()
    output = LogOutput(pipe.stream)
    logger.addHandler(output)
    os.close(pipe.reader)
    logger.info("one")
    logger.info("two")

    async def both_are_counted() -> bool:
        return output.dropped == 2

    await until("both are counted", both_are_counted)
    pipe.stream.close()


async def test_the_metrics_say_how_many_lines_are_missing() -> None:
    output = LogOutput(StringIO())
    watch = LoggingObserver("1.2.3", "abc", lambda: 0.0)
    watch.observe_log(output)
    output.dropped = 3
    assert b"notification_log_lines_dropped_total 3.0" in await watch.exposed()
    output.dropped = 5
    assert b"notification_log_lines_dropped_total 5.0" in await watch.exposed()


def test_the_last_lines_of_a_process_are_written() -> None:
    script = (
        "import sys, logging; from datetime import UTC; "
        "from notification_entrypoints.observability.logs import configure_logging; "
        "configure_logging(UTC, debug=False, stream=sys.stderr); "
        "[logging.getLogger().error('line %d', number) for number in range(1000)]"
    )
    done = subprocess.run(  # noqa: S603 - this interpreter with our own script
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert [json.loads(line)["event"] for line in done.stderr.splitlines()] == [
        f"line {number}" for number in range(1000)
    ]


@pytest.mark.parametrize("options", [(), ("--workers", "2")], ids=["alone", "two workers"])
async def test_with_a_full_log_pipe_a_server_serves_delivers_and_stops(
    postgres: PostgresServer, tmp_path: Path, pipe: StuckPipe, options: Sequence[str]
) -> None:
    async with place_on(postgres) as place, Receiver(410) as gone, Receiver() as receiver:
        up = Up(tmp_path, place.settings, options=options, output=pipe.writer)
        async with served_by(up) as api:
            await api.subscribe(gone.url)  # to be disabled, which is a line in the log
            await api.subscribe(receiver.url)
            await api.publish("event")
            assert len(await receiver.wait_for(1)) == 1
            url = f"http://127.0.0.1:{up.ports[1]}/healthz"
            async with aiohttp.request("GET", url) as response:
                assert response.status == HTTPStatus.OK
            assert await up.terminate(STOPS_WITHIN) == 0


async def test_with_a_full_log_pipe_a_start_that_fails_ends_with_its_exit_code(
    tmp_path: Path, pipe: StuckPipe
) -> None:
    (nobody,) = free_ports(1)
    settings = {
        "DB_URI": f"127.0.0.1:{nobody}",
        "DB_ENCRYPTION_SECRET": "0123456789abcdef0123456789abcdef",
        "STARTUP_TIMEOUT": "1s",
    }
    up = Up(tmp_path, settings, command="api", output=pipe.writer)
    try:
        await up.spawn()
        assert await up.ended() == Exit.UNAVAILABLE
    finally:
        await up.close()
