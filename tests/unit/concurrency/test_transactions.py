"""Doing in one go what several ask for at the same time."""

import asyncio
import gc
from collections.abc import Sequence
from typing import Any

import pytest

from notification_core.concurrency.transactions import GroupCommit


class Away(Exception):
    """What concerns everybody of a group."""


class Work:
    """Answers numbers by their doubles; how it does so is for the test to say."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.open = asyncio.Event()
        self.at_once = self.most_at_once = 0
        self.answered_at_once = 1_000
        self.refused: set[int] = set()
        self.breaks_at: int | None = None
        self.away = False

    async def __call__(self, numbers: Sequence[int]) -> Sequence[int | Exception]:
        self.groups.append(list(numbers))
        self.at_once += 1
        self.most_at_once = max(self.at_once, self.most_at_once)
        await self.open.wait()
        self.at_once -= 1
        if self.away:
            raise Away
        if self.breaks_at in numbers:
            raise ZeroDivisionError
        first = numbers[: self.answered_at_once]
        return [ValueError(str(n)) if n in self.refused else 2 * n for n in first]


@pytest.fixture
def work() -> Work:
    return Work()


def grouped(work: Work, *, most: int = 1_000, parallel: int = 1) -> GroupCommit[int, int]:
    return GroupCommit(work, most=most, shared=Away, parallel=parallel)


async def asked(
    group: GroupCommit[int, int], work: Work, *numbers: int
) -> list[int | BaseException]:
    """Ask all of these while the first one is being worked on."""
    tasks = [group.submit(number, number) for number in numbers]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    work.open.set()
    return await asyncio.gather(*tasks, return_exceptions=True)


async def test_nobody_waits_for_a_group_to_fill(work: Work) -> None:
    work.open.set()
    assert await grouped(work).submit(1, 1) == 2
    assert work.groups == [[1]]


async def test_what_is_asked_meanwhile_is_answered_in_one_go_and_each_by_its_own(
    work: Work,
) -> None:
    group = grouped(work)
    first = group.submit(1, 1)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert await asked(group, work, 2, 3, 4) == [4, 6, 8]
    assert await first == 2
    assert work.groups == [[1], [2, 3, 4]]


async def test_a_group_is_bounded_and_a_large_question_is_asked_alone(work: Work) -> None:
    group = grouped(work, most=10)
    assert await asked(group, work, 1, 50, 4, 6, 1) == [2, 100, 8, 12, 2]
    assert work.groups == [[1], [50], [4, 6], [1]]


async def test_who_asks_at_the_moment_at_which_the_work_ends_is_answered(work: Work) -> None:
    group = grouped(work)
    ended = asyncio.Event()

    async def ask_as_it_ends() -> int:
        await ended.wait()
        return await group.submit(2, 2)

    first, second = group.submit(1, 1), asyncio.create_task(ask_as_it_ends())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    # In this order: the work goes on and ends, then the second asks, in one turn of the loop.
    work.open.set()
    ended.set()
    async with asyncio.timeout(5):
        assert await first == 2
        assert await second == 4


async def test_what_had_no_room_is_asked_again_in_its_turn(work: Work) -> None:
    work.answered_at_once = 2
    group = grouped(work)
    first = group.submit(9, 9)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert await asked(group, work, 1, 2, 3, 4, 5) == [2, 4, 6, 8, 10]
    assert await first == 18
    assert work.groups == [[9], [1, 2, 3, 4, 5], [3, 4, 5], [5]]


async def test_a_refusal_is_only_for_the_one_who_asked(work: Work) -> None:
    work.refused = {2}
    one, two, three = await asked(grouped(work), work, 1, 2, 3)
    assert (one, three) == (2, 6)
    assert isinstance(two, ValueError)


async def test_what_concerns_everybody_is_everybodys_response(work: Work) -> None:
    work.away = True
    group = grouped(work)
    responses = await asked(group, work, 1, 2, 3)
    assert [type(response) for response in responses] == [Away, Away, Away]
    work.away = False
    assert await group.submit(4, 4) == 8


async def test_one_that_breaks_the_work_takes_nobody_along(work: Work) -> None:
    work.breaks_at = 3
    group = grouped(work)
    first = group.submit(9, 9)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    one, three, five = await asked(group, work, 1, 3, 5)
    assert (one, five) == (2, 10)
    assert isinstance(three, ZeroDivisionError)
    assert await first == 18
    assert work.groups == [[9], [1, 3, 5], [1], [3], [5]]


async def test_groups_are_worked_on_side_by_side_as_far_as_that_makes_sense(work: Work) -> None:
    group = grouped(work, most=1, parallel=2)
    assert await asked(group, work, 1, 1, 1, 1) == [2, 2, 2, 2]
    assert work.most_at_once == 2


async def test_the_work_goes_on_when_nobody_waits_for_it_any_more(work: Work) -> None:
    group = grouped(work)
    work.refused = {1}
    leaving = group.submit(1, 1)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    leaving.cancel()
    work.open.set()
    await group.drain()
    assert work.groups == [[1]]
    with pytest.raises(asyncio.CancelledError):
        await leaving


async def test_an_error_that_nobody_waits_for_any_more_is_not_reported_by_asyncio(
    work: Work,
) -> None:
    reports: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: reports.append(context))
    group = grouped(work)
    work.refused = {1}
    leaving = group.submit(1, 1)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    work.open.set()
    await group.drain()
    gc.collect()
    assert not reports


async def test_one_who_leaves_takes_nobody_else_along(work: Work) -> None:
    group = grouped(work)
    leaving = group.submit(1, 1)
    await asyncio.sleep(0)
    others = [group.submit(number, number) for number in (2, 3)]
    await asyncio.sleep(0)
    leaving.cancel()
    others[0].cancel()
    await asyncio.sleep(0)
    work.open.set()
    assert await others[1] == 6
    assert work.groups == [[1], [2, 3]]
