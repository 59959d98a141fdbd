"""Several processes that serve the same, under one that keeps them running."""

import asyncio
import json
import os
import re
import signal
import socket
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from http import HTTPStatus
from pathlib import Path

import aiohttp
import pytest

from tests.faults.place import DATABASE, IN_FLIGHT, Place
from tests.faults.stage import Api, Up, api_of, event_named, served_by
from tests.support.receivers import LOOPBACK, Receiver
from tests.support.waiting import until

SECRET = "0123456789abcdef0123456789abcdef"
FAILED, SETTINGS, INTERRUPTED = 1, 7, 130


@asynccontextmanager
async def worker_pool(
    folder: Path, command: str = "up", **settings: str
) -> AsyncIterator[tuple[Up, Api]]:
    """Run two workers under a supervisor for the length of the block."""
    up = Up(folder, settings, command=command, options=("--workers", "2"))
    async with served_by(up) as api:
        yield up, api


async def told(up: Up, path: str) -> tuple[int, str]:
    """Ask the ops server."""
    async with aiohttp.request("GET", f"http://{LOOPBACK}:{up.ports[1]}/{path}") as response:
        return response.status, await response.text()


async def parts(up: Up) -> Mapping[str, str]:
    _, text = await told(up, "readyz")
    states: Mapping[str, str] = json.loads(text)["parts"]
    return states


async def counted(up: Up, series: str) -> float:
    """Return the value of a series of the metrics."""
    _, text = await told(up, "metrics")
    found = re.search(rf"^{re.escape(series)} (\S+)$", text, re.MULTILINE)
    assert found, text
    return float(found[1])


def lines(up: Up, event: str) -> Sequence[Mapping[str, object]]:
    """Return the log's lines of one event."""
    logged = [json.loads(line) for line in up.said().splitlines() if line.startswith("{")]
    return [line for line in logged if line["event"] == event]


def is_there(pid: int) -> bool:
    """Tell whether a process runs; one that nobody has taken note of yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def test_two_workers_serve_one_port_and_are_told_of_as_one(
    place: Place, tmp_path: Path
) -> None:
    async with (
        worker_pool(tmp_path, **place.settings, DEBUG="true") as (up, api),
        Receiver() as receiver,
    ):
        await api.subscribe(receiver.url)
        served: set[object] = set()
        for number in range(40):
            # A connection each, so that the system has a choice.
            async with api_of(up) as another:
                caller = Api(another.session, another.base, api.environment)
                await caller.publish(f"event-{number}")
        await receiver.wait_for(40)
        await until("all is written", place.is_done)
        assert await counted(up, 'notification_events_total{result="accepted",source="http"}') == 40
        assert await counted(up, "notification_processes") == 2
        assert set(await parts(up)) == {
            f"worker {number}: {part}"
            for number in (1, 2)
            for part in ("storage", "migrations", "sending")
        }
        status = json.loads((await told(up, "status"))[1])
        assert len(status["workers"]) == 2
        assert (status["failing_webhooks"], status["longest_queues"]) == ([], [])
        assert (status["waiting"], status["last_minute"]["succeeded"]) == (0, 40)
        for number in (1, 2):
            _, text = await told(up, f"debug/{number}/settings")
            assert f"API_SERVER_PORT={up.ports[0]}" in text
            served |= {line["worker"] for line in lines(up, "started")}
        assert served == {1, 2}
        assert await up.terminate(within=15) == 0
    assert len(lines(up, "started")) == 2, "each says once where everything is"


async def test_a_worker_that_is_killed_is_started_again_and_no_counter_goes_backwards(
    place: Place, tmp_path: Path
) -> None:
    async with worker_pool(tmp_path, **place.settings) as (up, api), Receiver(_slowly) as receiver:
        await api.subscribe(receiver.url)
        await api.publish(*(f"a{number}" for number in range(200)))
        await receiver.wait_for(50)
        series = 'notification_attempts_total{error_code="",outcome="succeeded"}'
        before = await counted(up, series)
        one, other = up.workers
        os.kill(one, signal.SIGKILL)
        await until("it is counted", lambda: _is_restarted(up))
        assert await counted(up, series) >= before
        await until("another one serves instead", lambda: _all_are_ready(up))
        assert other in up.workers
        await until("nothing waits", place.is_done)
        (line,) = lines(up, "worker_exited")
        assert (line["pid"], line["reason"]) == (one, "SIGKILL ended it")
        assert await up.terminate(within=15) == 0
    events = Counter(request.headers["webhook-id"] for request in receiver.requests)
    assert len(events) == 200, "nothing is lost"
    assert events.total() - len(events) <= IN_FLIGHT, "only what was in flight comes twice"


async def _slowly(_: object) -> int:
    await asyncio.sleep(0.05)
    return 200


async def _is_restarted(up: Up) -> bool:
    return await counted(up, "notification_worker_restarts_total") == 1


async def _all_are_ready(up: Up) -> bool:
    status, text = await told(up, "readyz")
    return status == HTTPStatus.OK and len(json.loads(text)["parts"]) == 6


async def test_while_a_worker_is_missing_readiness_says_which_and_why_and_the_other_serves(
    place: Place, tmp_path: Path
) -> None:
    async with worker_pool(tmp_path, **place.settings) as (up, api):
        for life in (1, 2):
            os.kill(up.workers[-1], signal.SIGKILL)
            await until("it has ended", partial(_have_ended, up, life))
            if life == 1:
                await until("another one is there", lambda: _are_there(up, 2))
        assert [line["restart_delay_seconds"] for line in lines(up, "worker_exited")] == [0.1, 0.2]
        assert await api.try_to_publish([event_named("meanwhile")]) == HTTPStatus.ACCEPTED
        states = await parts(up)
        assert [state for state in states.values() if state != "ok"] == [
            "it is started again: SIGKILL ended it"
        ]


async def _have_ended(up: Up, lives: int) -> bool:
    return len(lines(up, "worker_exited")) == lives


async def _are_there(up: Up, count: int) -> bool:
    return len(up.workers) == count


async def test_a_worker_that_is_told_to_stop_by_itself_is_replaced_too(
    place: Place, tmp_path: Path
) -> None:
    async with worker_pool(tmp_path, **place.settings) as (up, _):
        one, _ = up.workers
        os.kill(one, signal.SIGTERM)
        await until("it has ended", lambda: _have_ended(up, 1))
        assert lines(up, "worker_exited")[0]["reason"] == "it ended with exit code 0"
        await until("another one serves instead", lambda: _all_are_ready(up))


async def test_when_the_supervisor_is_killed_its_workers_end_too(
    place: Place, tmp_path: Path
) -> None:
    async with worker_pool(tmp_path, **place.settings) as (up, api), Receiver(_slowly) as receiver:
        await api.subscribe(receiver.url)
        await api.publish(*(f"a{number}" for number in range(20)))
        await receiver.wait_for(1)
        workers = up.workers
        await up.kill()

        async def are_gone() -> bool:
            return not any(map(is_there, workers))

        await until("they are gone", are_gone, 15)
        assert await place.count("SELECT count(*) FROM attempts WHERE outcome = 'interrupted'") == 0


async def test_a_signal_to_all_processes_at_once_is_one_signal_to_each(
    place: Place, tmp_path: Path
) -> None:
    async with worker_pool(tmp_path, **place.settings) as (up, api), Receiver(_slowly) as receiver:
        await api.subscribe(receiver.url)
        await api.publish(*(f"a{number}" for number in range(50)))
        await receiver.wait_for(1)
        for worker in up.workers:
            os.kill(worker, signal.SIGTERM)
        assert await up.terminate(within=15) == 0
        assert await place.count("SELECT count(*) FROM attempts WHERE outcome = 'interrupted'") == 0
        assert await place.count("SELECT count(*) FROM deliveries WHERE worker IS NOT NULL") == 0


async def test_a_second_signal_ends_all_at_once(place: Place, tmp_path: Path) -> None:
    async with worker_pool(tmp_path, **place.settings) as (up, api), Receiver("hang") as receiver:
        await api.subscribe(receiver.url)
        await api.publish("event")
        await receiver.wait_for(1)
        workers = up.workers
        assert up.process
        up.process.send_signal(signal.SIGTERM)

        async def is_stopping() -> bool:
            return len(lines(up, "stopping")) == 3

        await until("all say that they stop", is_stopping)
        assert await up.terminate(within=5) == INTERRUPTED

        async def are_gone() -> bool:
            return not any(map(is_there, workers))

        await until("they are gone", are_gone, 5)


@pytest.mark.parametrize(
    ("settings", "code", "words"),
    [
        ({"DB_ENCRYPTION_SECRET": "f" * 32}, FAILED, "DB_ENCRYPTION_SECRET"),
        ({"API_AUTH": "api_key,none"}, SETTINGS, "API_AUTH is none and more"),
        pytest.param(
            {"KAFKA_BROKERS": "127.0.0.1:9", "KAFKA_SSL_CA_LOCATION": "/nowhere",
             "KAFKA_SECURITY_PROTOCOL": "SSL"}, FAILED, "Kafka's certificates",
            marks=pytest.mark.long,
        ),
    ],
    ids=["another secret", "a contradiction", "a missing file"],
)  # fmt: skip
async def test_what_keeps_all_of_them_from_starting_is_said_once(
    place: Place, tmp_path: Path, settings: Mapping[str, str], code: int, words: str
) -> None:
    await Up(tmp_path / "before", place.settings, command="migrate").ended_well()
    options = ("--workers", "2")
    up = Up(tmp_path, {**place.settings, **settings}, options=options)
    try:
        await up.spawn()
        assert await up.ended(within=60) == code
        (sentence,) = [line for line in up.said().splitlines() if not line.startswith("{")]
        assert sentence.startswith("Error: ")
        assert words in sentence
    finally:
        await up.close()


@pytest.mark.parametrize("shares", [False, True])
async def test_a_port_that_another_program_listens_on_is_not_shared_with_it(
    place: Place,
    tmp_path: Path,
    shares: bool,  # noqa: FBT001 - the two cases
) -> None:
    with socket.socket() as taken:
        if shares:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind((LOOPBACK, 0))
        taken.listen()
        up = Up(tmp_path, place.settings, options=("--workers", "2"))
        up.ports = (taken.getsockname()[1], up.ports[1])
        try:
            await up.spawn()
            assert await up.ended(within=60) == FAILED
            assert "API_SERVER_PORT" in up.said()
        finally:
            await up.close()


@pytest.mark.parametrize("command", ["up", "consumer"])
async def test_of_a_file_only_one_process_can_send_and_that_is_said(
    tmp_path: Path, command: str
) -> None:
    settings = {
        "DB_URI": f"sqlite:///{tmp_path}/file.sqlite",
        "DB_ENCRYPTION_SECRET": SECRET,
        "KAFKA_BROKERS": "127.0.0.1:9",
    }
    up = Up(tmp_path, settings, command=command, options=("--workers", "2"))
    await up.spawn()
    assert await up.ended() == SETTINGS
    assert "must be a PostgreSQL server" in up.said()


async def test_several_apis_may_store_in_one_file(tmp_path: Path) -> None:
    (tmp_path / DATABASE).parent.mkdir()
    settings = {
        "DB_URI": f"sqlite:///{tmp_path / DATABASE}",
        "DB_ENCRYPTION_SECRET": SECRET,
        "PROJECT_MANAGEMENT_API_URI": "",
    }
    await Up(tmp_path, settings, command="migrate").ended_well()
    async with worker_pool(tmp_path, "api", **settings) as (up, api):
        await asyncio.gather(*(api.publish(f"event-{number}") for number in range(50)))
        assert len((await up.stored()).events) == 50
        publishing = asyncio.create_task(acknowledged_until_the_end(api))
        await until("some more are stored", lambda: _has_stored(up, 60))
        assert await up.terminate(within=15) == 0
        assert await publishing <= {one.event_id for one in (await up.stored()).events}


async def _has_stored(up: Up, count: int) -> bool:
    return len((await up.stored()).events) >= count


async def acknowledged_until_the_end(api: Api) -> set[str]:
    """Publish one event after the other until nobody answers; return what was acknowledged."""
    done: set[str] = set()
    while True:
        event_id = f"late-{len(done)}"
        try:
            status = await api.try_to_publish([event_named(event_id)])
        except (aiohttp.ClientError, TimeoutError):
            return done
        if status == HTTPStatus.ACCEPTED:
            done.add(event_id)
