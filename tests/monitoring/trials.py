"""Each alert fires for its fault, and no other one does: real faults, scraped by a real Prometheus.

Each fault is made in a process of its own, some beside one another: they mostly wait.
"""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import yaml

from tests.monitoring.faults import FAULTS
from tests.monitoring.site import Site, opened
from tests.support.postgres_server import OwnServer, find_programs, started
from tests.support.waiting import until

_BESIDE: Final = 3
_SETTLED: Final = 15.0
_PATIENCE: Final = 240.0
_WATCHED: Final = 60.0
"""Seconds from the fault on: an alert of ten minutes takes half of it to fire, and its window."""

_WATCHED_AFTER: Final = 10.0


def try_faults(rules: str, words: Sequence[str]) -> Sequence[str]:
    """Make each fault that is asked for; return the names of those that gave other alerts.

    Such a fault is repeated alone: what was tried beside it may have taken its CPU. Returns
    also the alerts that no fault is for, if all faults are made.
    """
    chosen = [
        number
        for number, fault in enumerate(FAULTS)
        if not words or any(word in fault.name for word in words)
    ]
    wrong = _wrong(_wrong(chosen, rules, _BESIDE), rules, 1)
    missing = _alerts(rules).difference(*(fault.expected for fault in FAULTS))
    return [*(FAULTS[number].name for number in wrong), *(() if words else sorted(missing))]


def _wrong(chosen: Sequence[int], rules: str, beside: int) -> Sequence[int]:
    """Make faults, some beside one another; return those that gave other alerts than they must."""
    wrong = []
    with ProcessPoolExecutor(beside, mp_context=get_context("spawn")) as pool:
        trying = {pool.submit(fired_for, number, rules): number for number in chosen}
        for tried in as_completed(trying):
            fault = FAULTS[trying[tried]]
            if error := tried.exception():
                told, is_right = repr(error), False
            else:
                fired, seconds = tried.result()
                told = f"{', '.join(sorted(fired)) or 'no alert'} ({seconds:.0f} s)"
                is_right = fault.explains(fired)
            print(f"{'ok' if is_right else 'WRONG':6} {fault.name}: {told}", flush=True)
            if not is_right:
                wrong.append(trying[tried])
    return wrong


def _alerts(rules: str) -> set[str]:
    return {rule["alert"] for group in yaml.safe_load(rules)["groups"] for rule in group["rules"]}


def fired_for(number: int, rules: str) -> tuple[set[str], float]:
    """Return the alerts that fire from a fault on, and after how many seconds the last did.

    The fault begins on a system at rest.
    """
    programs = find_programs()
    assert programs, "PostgreSQL is not here"
    with started(programs) as server, TemporaryDirectory() as folder:
        return asyncio.run(_fired_for(number, server, Path(folder), rules))


async def _fired_for(
    number: int, server: OwnServer, folder: Path, rules: str
) -> tuple[set[str], float]:
    fault = FAULTS[number]
    async with opened(fault.plan, server, folder, rules) as site:
        await asyncio.sleep(_SETTLED)
        await until("nothing fires at rest", lambda: _is_at_rest(site))
        await fault.make(site)
        return await _watch(site, fault.expected)


async def _is_at_rest(site: Site) -> bool:
    return not await site.firing()


async def _watch(site: Site, expected: set[str]) -> tuple[set[str], float]:
    """Return all that fires until what is expected has, and for some time after."""
    fired: set[str] = set()
    loop = asyncio.get_running_loop()
    start = loop.time()
    seconds, end = 0.0, _WATCHED
    while (now := loop.time() - start) < end:
        more = await site.firing() - fired
        fired |= more
        seconds = now if more else seconds
        await asyncio.sleep(0.5)
        if not expected <= fired and now < _PATIENCE:
            end = max(end, now + _WATCHED_AFTER)
    return fired, seconds
