"""An environment that is erased over kills: all of it goes, and the others stay."""

import asyncio
import sqlite3
from contextlib import closing

from attrs import evolve

from tests.faults.experiment import Experiment
from tests.faults.stage import Api, Up, running
from tests.support.receivers import Receiver
from tests.support.waiting import until

_BATCH = 100
_KEPT = {"erasures"}


async def test_an_erasure_that_is_killed_goes_on_until_nothing_is_left(
    experiment: Experiment,
) -> None:
    batches, kills = (20, 3) if experiment.judged else (6, 1)
    async with Receiver() as receiver, running(experiment.folder) as (up, api):
        other = evolve(api, environment="11111111-2222-4333-8444-555555555555")
        for each in (api, other):
            for path in ("a", "b", "c"):
                await each.subscribe(f"{receiver.url}{path}")
            for batch in range(batches):
                await each.publish(*(f"event-{batch}-{number}" for number in range(_BATCH)))
        await other.key()
        kept = rows(up, other)
        assert rows(up, api)["events"] == kept["events"] == batches * _BATCH
        await api.call("DELETE", f"environments/{api.environment}")
        for _ in range(kills):
            await asyncio.sleep(experiment.random.uniform(0.02, 0.15))
            await up.kill()
            await up.start()
        await until("nothing is left", lambda: is_erased(api))
        left = rows(up, api)
        assert {name: count for name, count in left.items() if count} == {}
        there = rows(up, other)
        assert all(there[name] == kept[name] for name in ("events", "webhooks", "deliveries"))
        erasure = await api.call("GET", f"environments/{api.environment}/erasure")
        experiment.tell(f"{erasure['erased']} rows erased over {kills} kills")


def rows(up: Up, api: Api) -> dict[str, int]:
    """Return how many rows there are of an environment, by table."""
    found = {}
    with closing(sqlite3.connect(f"file:{up.database}?mode=ro", uri=True)) as connection:
        tables = connection.execute(
            "SELECT m.name FROM sqlite_master AS m JOIN pragma_table_info(m.name) AS c "
            "WHERE m.type = 'table' AND c.name = 'environment_id'"
        ).fetchall()
        for (table,) in tables:
            if table not in _KEPT:
                count = f"SELECT count(*) FROM {table} WHERE environment_id = ?"  # noqa: S608 - a name of ours
                environment = api.environment.replace("-", "")
                ((found[table],),) = connection.execute(count, (environment,)).fetchall()
    return found


async def is_erased(api: Api) -> bool:
    erasure = await api.call("GET", f"environments/{api.environment}/erasure")
    return erasure["state"] == "completed"
