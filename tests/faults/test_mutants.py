"""The checker is of use: a product that breaks a promise is found out, and the real one is not."""

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest
from attrs import frozen

from tests.faults import scenarios
from tests.faults.checker import Verdict, check
from tests.faults.failover import failed_over
from tests.faults.files import write_history
from tests.faults.history import History
from tests.faults.place import DATABASE, FilePlace, Place, place_on
from tests.faults.reporting import keep_mutant
from tests.faults.tampering.mutants import MUTANTS
from tests.kafka.topics import Kafka
from tests.support.postgres_server import PostgresServer

pytestmark = [pytest.mark.mutant, pytest.mark.long, pytest.mark.timeout(300)]

Scenario = Callable[[Path, Place, Sequence[str]], Awaitable[History]]

FOUND_OUT: Sequence[tuple[str, Scenario, str]] = [
    ("respond_before_the_commit", scenarios.killed_at_the_first_request, "ghost"),
    ("store_an_event_without_its_deliveries", scenarios.killed_in_the_fan_out, "lost"),
    ("give_up_early", scenarios.failing, "lost"),
    ("take_the_interrupted_for_delivered", scenarios.killed_before_sending, "lost"),
    ("know_no_event", scenarios.published_twice, "doubled"),
    ("begin_when_it_has_ended", scenarios.killed_after_the_response, "doubled"),
    ("begin_without_a_word", scenarios.killed_amid_a_bulk, "doubled"),
    ("take_the_prefetched_for_begun", scenarios.killed_amid_a_bulk, "doubled"),
    ("take_the_paused_for_healthy", scenarios.killed_while_paused, "doubled"),
    ("send_again_in_silence", scenarios.failing, "doubled"),
    ("take_the_living_for_dead", scenarios.slow_at_first, "doubled"),
    ("log_no_interruption", scenarios.killed_after_the_response, "unlogged"),
    ("claim_what_is_leased", scenarios.failing, "misordered"),
    ("heed_no_change", scenarios.deleted, "misordered"),
    ("heed_no_order", scenarios.published_in_order, "misordered"),
    ("send_another_body", scenarios.published_twice, "unsigned"),
    ("sign_once", scenarios.failing_once, "unsigned"),
    ("finish_in_two_transactions", scenarios.killed_while_finishing, "unlogged"),
    ("count_no_interruption", scenarios.killed_before_sending, "miscounted"),
    ("leave_what_the_dead_held", scenarios.killed_before_sending, "stuck"),
]
ON_ONE_FILE = list(dict.fromkeys(scenario for _, scenario, _ in FOUND_OUT))


@frozen
class Bench:
    """Where a mutant is tried, and where what is found of it goes."""

    request: pytest.FixtureRequest
    folder: Path

    def judged(self, mutant: str, history: History) -> Verdict:
        """Return the verdict on a run, and keep it for the table."""
        verdict = check(history)
        write_history(self.folder, history)
        found = ", ".join(f"{len(said)} {kind}" for kind, said in verdict.found.items())
        keep_mutant(self.request.node.user_properties, mutant, found or "nothing")
        return verdict


@pytest.fixture
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Bench:
    return Bench(request, tmp_path)


@pytest.fixture
def file_place(tmp_path: Path) -> Place:
    path = tmp_path / DATABASE
    path.parent.mkdir(parents=True)
    return FilePlace(path)


@pytest.mark.parametrize(
    ("mutant", "scenario", "kind"), FOUND_OUT, ids=[mutant for mutant, *_ in FOUND_OUT]
)
async def test_the_checker_finds_out(
    bench: Bench, file_place: Place, mutant: str, scenario: Scenario, kind: str
) -> None:
    history = await scenario(bench.folder, file_place, ("--mutant", mutant))
    verdict = bench.judged(mutant, history)
    assert kind in verdict.found, verdict


@pytest.mark.parametrize("scenario", ON_ONE_FILE, ids=lambda scenario: str(scenario.__name__))
async def test_the_product_itself_is_not_found_out(
    bench: Bench, file_place: Place, scenario: Scenario
) -> None:
    verdict = check(await scenario(bench.folder, file_place, ()))
    assert verdict.holds, verdict


@pytest.mark.parametrize(
    ("mutant", "kinds"),
    [
        ("drop_the_fence", {"doubled", "misordered"}),
        ("count_fenced_results", {"miscounted"}),
        ("", set()),
    ],
    ids=["drop_the_fence", "count_fenced_results", "none"],
)
async def test_a_process_that_hung_is_found_out_where_no_fence_keeps_it_off(
    bench: Bench, postgres: PostgresServer, mutant: str, kinds: set[str]
) -> None:
    async with place_on(postgres) as place:
        history = await scenarios.hung(bench.folder, place, _mutated(mutant))
    if mutant:
        assert bench.judged(mutant, history).found.keys() & kinds
    else:
        assert check(history).holds, check(history)


@pytest.mark.parametrize("mutant", ["acknowledge_first", ""])
async def test_a_consumer_is_found_out_that_commits_its_offsets_first(
    bench: Bench, file_place: Place, kafka: Kafka, mutant: str
) -> None:
    history = await scenarios.consumed_and_killed(bench.folder, file_place, _mutated(mutant), kafka)
    if mutant:
        assert "lost" in bench.judged(mutant, history).found
    else:
        assert check(history).holds, check(history)


@pytest.mark.parametrize("mutant", ["acknowledge_what_is_found", "cancel_slow_commits"])
async def test_a_failover_finds_out_what_was_acknowledged_without_the_standby(
    bench: Bench, mutant: str
) -> None:
    history = await failed_over(bench.folder, _mutated(mutant))
    assert "lost" in bench.judged(mutant, history).found


def _mutated(mutant: str) -> Sequence[str]:
    return ("--mutant", mutant) if mutant else ()


def test_no_mutant_is_left_out() -> None:
    elsewhere = {
        "acknowledge_first",
        "acknowledge_what_is_found",
        "cancel_slow_commits",
        "count_fenced_results",
        "drop_the_fence",
    }
    assert {mutant for mutant, *_ in FOUND_OUT} | elsewhere == set(MUTANTS)
