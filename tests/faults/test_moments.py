"""Killed at each moment of an event's way: nothing is lost, and little is duplicated."""

import pytest
from attrs import evolve, frozen

from tests.faults.accounts import Manner
from tests.faults.experiment import Experiment
from tests.faults.figures import figures_of
from tests.faults.history import Allowed
from tests.faults.marks import postgres_when_long
from tests.faults.place import Place
from tests.faults.rules import interruptions
from tests.faults.scenarios import BULK, events, on_scene
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(300)

RECOVERY = 5.0
IN_FLIGHT = 5
MANY = 10_000
MOST = {"WEBHOOKS_MAX_PER_ENVIRONMENT": str(MANY)}
FIRST_MAY_ADD, OTHERS_MAY_ADD = 100, 15  # megabytes


def at_once() -> tuple[float, int]:
    return 0.1, 200


def failing_at_first() -> Manner:
    """Fail the first attempts, so that the second ones come by a claim."""
    responses = [500] * IN_FLIGHT

    def manner() -> tuple[float, int]:
        return 0, responses.pop() if responses else 200

    return manner


@frozen
class Moment:
    """Where a process is killed, and what of it may be seen.

    So many attempts are ``interrupted`` at most, and at least one where any are; as many of
    their requests as are ``doubled`` may have been taken by the receiver.
    """

    at: str
    interrupted: int = 0
    doubled: int = 0
    fails_at_first: bool = False


def moment(number: int, title: str, moment: Moment, *marks: pytest.MarkDecorator) -> object:
    marked = [pytest.mark.experiment(number, title), *marks]
    return pytest.param(moment, id=moment.at, marks=marked)


MOMENTS = [
    moment(3, "killed before the fan-out is committed", Moment("fanned out")),
    moment(
        3,
        "killed after the commit, before the hand-over",
        Moment("committed", IN_FLIGHT),
        pytest.mark.long,
    ),
    moment(4, "killed after the claim", Moment("claimed", IN_FLIGHT, fails_at_first=True)),
    moment(
        4,
        "killed after the attempt was stored, before it connects",
        Moment("connecting", IN_FLIGHT),
    ),
    moment(6, "killed after the response, before the result is written", Moment("answered", 5, 5)),
    moment(7, "killed while a result is written", Moment("ending", 5, 5), pytest.mark.long),
    moment(7, "killed once the end is committed", Moment("finished", 5, 5), pytest.mark.long),
]


@postgres_when_long
@pytest.mark.parametrize("moment", MOMENTS)
async def test_killed_at_this_moment_it_loses_nothing(
    experiment: Experiment, place: Place, moment: Moment
) -> None:
    manner = failing_at_first() if moment.fails_at_first else at_once
    armed = ("--at", f"{moment.at}=kill")
    async with on_scene(experiment.folder, place, armed, manner) as scene:
        await scene.publish(events(IN_FLIGHT))
        await scene.killed_and_started_again()
        history = await scene.rested(*scene.up.kills)
        experiment.judge(history, recovers_within=RECOVERY + scene.start_took)
    figures = figures_of(history)
    assert figures.delivered == IN_FLIGHT
    assert figures.doubled <= moment.doubled
    assert figures.interruptions <= moment.interrupted


@postgres_when_long
@pytest.mark.parametrize("at", ["beginning", "begun", "answered"])
@pytest.mark.experiment(8, "killed while a bulk is prefetched")
async def test_killed_during_a_bulk_it_logs_no_interruption_of_what_only_waited(
    experiment: Experiment, place: Place, at: str
) -> None:
    bounds = {"WEBHOOKS_MAX_IN_FLIGHT": "64", "WEBHOOKS_MAX_IN_FLIGHT_PER_WEBHOOK": "16"}
    times = 3 if at != "answered" else BULK // 4
    armed = ("--at", f"{at}=kill:{times}")
    async with on_scene(experiment.folder, place, armed, lambda: (0.01, 200), **bounds) as scene:
        await scene.publish(events(BULK))
        await scene.killed_and_started_again()
        history = await scene.rested(*scene.up.kills)
        history = evolve(history, allowed=Allowed(max_in_flight=64, kills=scene.up.kills))
        experiment.judge(history, recovers_within=RECOVERY + scene.start_took)
    assert figures_of(history).delivered == BULK


@postgres_when_long
@pytest.mark.experiment(5, "killed while requests are in flight")
async def test_killed_while_requests_are_out_it_repeats_each_of_them_at_most_once(
    experiment: Experiment, place: Place
) -> None:
    async with on_scene(experiment.folder, place, (), lambda: (1, 200)) as scene:
        await scene.publish(events(IN_FLIGHT))
        await scene.receiver.wait_for(IN_FLIGHT)
        await scene.up.kill()
        await scene.up.start()
        history = await scene.rested(*scene.up.kills)
        experiment.judge(history, recovers_within=RECOVERY + scene.start_took)
    assert interruptions(history.stored.attempts) == IN_FLIGHT
    assert len(history.seen) == 2 * IN_FLIGHT


@pytest.mark.long
@pytest.mark.experiment(3, "killed during a fan-out to 10,000 webhooks")
async def test_a_fan_out_to_10_000_webhooks_is_all_or_nothing(
    experiment: Experiment, place: Place
) -> None:
    armed = ("--at", "fanned out=kill")
    async with on_scene(experiment.folder, place, armed, lambda: (0, 200), **MOST) as scene:
        await multiply_webhooks(place)
        await scene.publish(events(1))
        await scene.killed_and_started_again()
        history = await scene.rested(*scene.up.kills, within=120)
        experiment.judge(history)
    figures = figures_of(history)
    assert (figures.delivered, figures.doubled) == (MANY, 0)


@pytest.mark.long
@pytest.mark.experiment(28, "10,000 webhooks on one event, again and again")
async def test_events_for_10_000_webhooks_do_not_fill_the_memory(
    experiment: Experiment, place: Place
) -> None:
    memory: list[float] = []
    async with on_scene(experiment.folder, place, (), lambda: (0, 200), **MOST) as scene:
        await multiply_webhooks(place)
        for event_id in events(3):
            memory.append(scene.up.most_memory)
            await scene.publish([event_id])
            await until("all is delivered", place.is_done)
        memory.append(scene.up.most_memory)
        history = await scene.rested()
        experiment.judge(history)
    experiment.tell(f"megabytes of memory: {', '.join(f'{one:.0f}' for one in memory)}")
    before, first, *_, last = memory
    assert first - before <= FIRST_MAY_ADD
    assert last - first <= OTHERS_MAY_ADD


async def multiply_webhooks(place: Place) -> None:
    """Make many of the one webhook."""
    await place.multiply("webhooks", {"webhook_id": place.numbered_id}, MANY - 1)
