"""Replays that are cut off by kill -9 and go on: nothing is missed, nothing is made twice."""

import asyncio
from collections import Counter

from tests.faults.accounts import Accounts
from tests.faults.experiment import Experiment
from tests.faults.history import Allowed, History
from tests.faults.load import all_published
from tests.faults.rules import interruptions
from tests.faults.stage import Api, running
from tests.support.waiting import until

FOREVER = "9999-12-31T23:59:59Z"


async def test_a_replay_that_is_killed_goes_on_and_makes_each_delivery_once(
    experiment: Experiment,
) -> None:
    count, kills = (3_000, 3) if experiment.judged else (1_000, 1)
    events = [f"event-{number:04}" for number in range(count)]
    accounts = Accounts()
    async with (
        accounts.receiver(lambda: (0, 200)) as receiver,
        running(experiment.folder) as (up, api),
    ):
        webhook_id = await api.subscribe(receiver.url, disabled_until=FOREVER)
        for first in range(0, count, 500):
            await api.publish(*events[first : first + 500])
        await api.change(webhook_id, disabled_until=None)
        path = f"webhooks/{webhook_id}/replays"
        dry = await api.call("POST", path, {"since": "2020-01-01T00:00:00Z", "dry_run": True})
        assert dry == {"count": count, "is_exact": True}
        replay = await api.call("POST", path, {"since": "2020-01-01T00:00:00Z"})
        for _ in range(kills):
            await asyncio.sleep(experiment.random.uniform(0.02, 0.2))
            await up.kill()
            await up.start()
        await until("the replay has ended", lambda: has_ended(api, f"{path}/{replay['replay_id']}"))
        await until("all is delivered", up.is_done)
        ended = await api.call("GET", f"{path}/{replay['replay_id']}")
        history = History(
            published=all_published(api, events),
            seen=accounts.seen(await api.key()),
            stored=await up.stored(),
            allowed=Allowed(kills=up.kills),
        )
    experiment.judge(history)
    made = Counter(one.event_id for one in history.stored.deliveries if one.origin == "replay")
    assert made == Counter(events)
    assert (ended["state"], ended["replayed"]) == ("completed", count)
    experiment.tell(
        f"{count} events replayed over {kills} kills, {len(history.seen)} requests, "
        f"{interruptions(history.stored.attempts)} interruptions"
    )


async def has_ended(api: Api, path: str) -> bool:
    return (await api.call("GET", path))["state"] != "running"
