"""A webhook whose queue is full: what comes is skipped and seen, and can be had later."""

from itertools import count
from pathlib import Path

from tests.faults.stage import Api, Up, running
from tests.support.receivers import Receiver
from tests.support.waiting import until

_LIMIT = 5
_SINCE: dict[str, object] = {"since": "2020-01-01T00:00:00Z"}


async def test_what_comes_for_a_full_queue_is_skipped_and_replayed_when_there_is_room(
    tmp_path: Path,
) -> None:
    settings = {
        "WEBHOOKS_MAX_PENDING_PER_WEBHOOK": str(_LIMIT),
        "WEBHOOKS_MAX_RETRIES": "1000",
        "WEBHOOKS_BREAKER_FAILURES": "0",
        "WEBHOOKS_RETRY_INTERVAL": "1s",
    }
    async with Receiver() as receiver, running(tmp_path, **settings) as (up, api):
        webhook_id = await api.subscribe(receiver.url)
        await receiver.down()
        await api.publish(*(f"waits-{number}" for number in range(2 * _LIMIT)))
        numbers = count()
        await until("an event is skipped", lambda: is_skipped(api, f"late-{next(numbers)}"), 60)
        await receiver.up()
        await until("the queue is empty", up.is_done)
        await api.call("POST", f"webhooks/{webhook_id}/replays", _SINCE)
        await until("what was skipped has come", lambda: has_all(receiver, up))


async def is_skipped(api: Api, event_id: str) -> bool:
    await api.publish(event_id)
    event = await api.call("GET", f"environments/{api.environment}/events/{event_id}")
    deliveries = event["deliveries"]
    assert isinstance(deliveries, list)
    return [one.get("reason") for one in deliveries] == ["queue_full"]


async def has_all(receiver: Receiver, up: Up) -> bool:
    come = {request.headers["webhook-id"] for request in receiver.requests}
    return come == {f"msg_{one.event_id}" for one in (await up.stored()).events}
