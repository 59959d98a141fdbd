"""A machine whose clock goes wrong: schedules follow the storage's."""

from datetime import datetime, timedelta

import pytest
from attrs import evolve

from tests.faults.accounts import Manner
from tests.faults.experiment import Experiment
from tests.faults.history import History, StoredAttempt
from tests.faults.place import place_on
from tests.faults.scenarios import events, on_scene
from tests.support.postgres_server import PostgresServer

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]

COUNT = 20
INTERVAL = timedelta(seconds=2)
LATE = timedelta(seconds=5)


def failing_twice() -> Manner:
    responses = [500] * (2 * COUNT)

    def manner() -> tuple[float, int]:
        return 0, responses.pop() if responses else 200

    return manner


@pytest.mark.parametrize("minutes", [60, -60, -10])
@pytest.mark.experiment(22, "the clock goes wrong during retries, by so many minutes")
async def test_retries_come_at_their_time_whatever_the_processs_clock_says(
    experiment: Experiment, postgres: PostgresServer, minutes: int
) -> None:
    wrong = timedelta(minutes=minutes)
    clock = ("--clock", str(wrong.total_seconds()))
    settings = {"WEBHOOKS_RETRY_INTERVAL": f"{INTERVAL.seconds}s"}
    async with (
        place_on(postgres) as place,
        on_scene(experiment.folder, place, (), failing_twice(), **settings) as scene,
    ):
        await scene.publish(events(COUNT))
        await scene.receiver.wait_for(COUNT)
        await scene.up.kill()
        scene.up.tampering = clock
        await scene.up.start()
        history = await scene.rested(*scene.up.kills)
        pages = await scene.api.call_for_list(f"webhooks/{scene.webhook_id}/logs?limit=100")
    ids = [str(one["log_id"]) for one in pages]
    assert ids == sorted(ids, reverse=True)
    experiment.judge(set_right(history, wrong))
    for waited in waits(history):
        assert waited >= INTERVAL, "no storm"
        assert waited <= INTERVAL * 1.2 + LATE or not experiment.judged, "no standstill"


def set_right(history: History, wrong: timedelta) -> History:
    """Return what the clock would have said, had it been right."""
    came = {(one.delivery_id, one.attempt): one.received_at for one in history.seen}
    seconds = int(wrong.total_seconds())

    def righted(attempt: StoredAttempt) -> StoredAttempt:
        at = came.get((attempt.delivery_id, attempt.number), attempt.started_at)
        is_wrong = abs(attempt.started_at - at) > abs(wrong) / 2
        return evolve(attempt, started_at=attempt.started_at - wrong) if is_wrong else attempt

    def is_off(timestamp: int, at: datetime) -> bool:
        return abs(timestamp - at.timestamp()) > abs(seconds) / 2

    seen = [
        evolve(one, timestamp=one.timestamp - seconds) if is_off(one.timestamp, one.received_at)
        else one
        for one in history.seen
    ]  # fmt: skip
    attempts = [righted(one) for one in history.stored.attempts]
    return evolve(history, seen=seen, stored=evolve(history.stored, attempts=attempts))


def waits(history: History) -> list[timedelta]:
    """Return how long each delivery waited between its last two requests."""
    times: dict[str, list[datetime]] = {}
    for one in sorted(history.seen, key=lambda one: one.received_at):
        times.setdefault(one.delivery_id, []).append(one.received_at)
    return [each[-1] - each[-2] for each in times.values()]
