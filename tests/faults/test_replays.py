"""Replays that are cut off by kill -9 and go on: nothing is missed, nothing is made twice."""

import asyncio
from collections import Counter

from tests.faults.accounts import Accounts
from tests.faults.experiment import Experiment
from tests.faults.history import Allowed, History
from tests.faults.load import all_published
from tests.faults.rules import interruptions
from tests.faults.stage import Api, running
from tests.waiting import until

EVENTS = [f"event-{number:04}" for number in range(3_000)]
KILLS = 3
FOREVER = "9999-12-31T23:59:59Z"


async def test_a_replay_that_is_killed_goes_on_and_makes_each_delivery_once(
    experiment: Experiment,
) -> None:
    accounts = Accounts()
    async with (
        accounts.receiver(lambda: (0, 200)) as receiver,
        running(experiment.folder) as (up, api),
    ):
        webhook_id = await api.subscribe(receiver.url, disabled_until=FOREVER)
        for first in range(0, len(EVENTS), 500):
            await api.publish(*EVENTS[first : first + 500])
        await api.change(webhook_id, disabled_until=None)
        path = f"webhooks/{webhook_id}/replays"
        dry = await api.call("POST", path, {"since": "2020-01-01T00:00:00Z", "dry_run": True})
        assert dry == {"count": len(EVENTS), "is_exact": True}
        replay = await api.call("POST", path, {"since": "2020-01-01T00:00:00Z"})
        for _ in range(KILLS):
            await asyncio.sleep(experiment.random.uniform(0.02, 0.2))
            await up.kill()
            await up.start()
        await until("the replay has ended", lambda: has_ended(api, f"{path}/{replay['replay_id']}"))
        await until("all is delivered", up.is_done)
        ended = await api.call("GET", f"{path}/{replay['replay_id']}")
        history = History(
            published=all_published(api, EVENTS),
            seen=accounts.seen(await api.key()),
            stored=await up.stored(),
            allowed=Allowed(kills=up.kills),
        )
    experiment.judge(history)
    made = Counter(one.event_id for one in history.stored.deliveries if one.origin == "replay")
    assert made == Counter(EVENTS)
    assert (ended["state"], ended["replayed"]) == ("completed", len(EVENTS))
    experiment.tell(
        f"{len(EVENTS)} events replayed over {KILLS} kills, {len(history.seen)} requests, "
        f"{interruptions(history.stored.attempts)} interruptions"
    )


async def has_ended(api: Api, path: str) -> bool:
    return (await api.call("GET", path))["state"] != "running"
