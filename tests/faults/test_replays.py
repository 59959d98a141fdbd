"""Replays that are cut off by kill -9 and go on: nothing is missed, nothing is made twice."""

import asyncio
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random

from tests.faults.accounts import Accounts
from tests.faults.checker import check, interruptions
from tests.faults.history import Allowed, History, Published
from tests.faults.stage import TYPE, Api, Up, running, until

EVENTS = [f"event-{number:04}" for number in range(3_000)]
KILLS = 3
FOREVER = "9999-12-31T23:59:59Z"


async def test_a_replay_that_is_killed_goes_on_and_makes_each_delivery_once(
    tmp_path: Path, seed: int, tell: Callable[[str], None]
) -> None:
    random = Random(seed)  # noqa: S311 - to be repeated, not to be kept secret
    accounts = Accounts()
    async with accounts.receiver(lambda: (0, 200)) as receiver, running(tmp_path) as (up, api):
        webhook_id = await api.subscribe(receiver.url, disabled_until=FOREVER)
        for first in range(0, len(EVENTS), 500):
            await api.publish(*EVENTS[first : first + 500])
        await api.change(webhook_id, disabled_until=None)
        path = f"webhooks/{webhook_id}/replays"
        dry = await api.call("POST", path, {"since": "2020-01-01T00:00:00Z", "dry_run": True})
        assert dry == {"count": len(EVENTS), "is_exact": True}
        replay = await api.call("POST", path, {"since": "2020-01-01T00:00:00Z"})
        for _ in range(KILLS):
            await asyncio.sleep(random.uniform(0.02, 0.2))
            await up.kill()
            await up.start()
        await until("the replay has ended", lambda: has_ended(api, f"{path}/{replay['replay_id']}"))
        await until("all is delivered", lambda: nothing_is_left(up))
        ended = await api.call("GET", f"{path}/{replay['replay_id']}")
        history = History(
            published=[Published(one, api.environment, TYPE, acknowledged=True) for one in EVENTS],
            seen=accounts.seen(await api.key()),
            stored=up.stored(),
            allowed=Allowed(starts=up.starts),
        )
    verdict = check(history)
    assert verdict.holds, str(verdict)
    made = Counter(one.event_id for one in history.stored.deliveries if one.origin == "replay")
    assert made == Counter(EVENTS)
    assert (ended["state"], ended["replayed"]) == ("completed", len(EVENTS))
    tell(
        f"{len(EVENTS)} events replayed over {KILLS} kills, {len(history.seen)} requests, "
        f"{interruptions(history.stored.attempts)} interruptions"
    )


async def has_ended(api: Api, path: str) -> bool:
    return (await api.call("GET", path))["state"] != "running"


async def nothing_is_left(up: Up) -> bool:
    return not any(one.held or one.state == "pending" for one in up.stored().deliveries)
