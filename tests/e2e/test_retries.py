"""Webhooks with retries and a time limit of their own, from their user's view."""

from pathlib import Path
from unittest.mock import ANY

from tests.faults.stage import Api, JsonObject, running
from tests.support.receivers import Receiver
from tests.support.waiting import until


async def ended(api: Api, webhook_id: str) -> JsonObject:
    """Return the webhook's only delivery, with its attempts, once it has ended."""
    (row,) = await api.call_for_list(f"webhooks/{webhook_id}/deliveries")

    async def has_ended() -> bool:
        return (await api.call("GET", f"deliveries/{row['delivery_id']}"))["state"] != "pending"

    await until("the delivery has ended", has_ended)
    return await api.call("GET", f"deliveries/{row['delivery_id']}")


async def test_each_webhook_is_retried_as_it_says_itself(tmp_path: Path) -> None:
    async with (
        running(tmp_path, WEBHOOKS_BREAKER_FAILURES="0") as (_, api),
        Receiver(500) as once,
        Receiver(500) as often,
    ):
        quick: JsonObject = {"interval": "100ms", "backoff": 1.5, "max_interval": "200ms"}
        no_more = await api.subscribe(once.url, retry={"max_retries": 0})
        many = await api.subscribe(often.url, retry={"max_retries": 5, **quick})
        await api.publish("event")
        assert (await ended(api, no_more))["state"] == "failed"
        assert (await ended(api, many))["state"] == "failed"
        assert (len(once.requests), len(often.requests)) == (1, 6)


async def test_a_slow_receiver_has_as_long_as_its_webhook_gives_it(tmp_path: Path) -> None:
    async with running(tmp_path) as (_, api), Receiver("hang", 200) as receiver:
        webhook_id = await api.subscribe(
            receiver.url, timeout="250ms", retry={"max_retries": 1, "interval": "100ms"}
        )
        await api.publish("event")
        assert (await ended(api, webhook_id))["state"] == "succeeded"
        good, late = await api.call_for_list(f"webhooks/{webhook_id}/logs")
        assert (late["error"], good["outcome"]) == (
            {"code": "timeout", "message": ANY},
            "succeeded",
        )
        duration = late["duration_ms"]
        assert isinstance(duration, float)
        # A loop's timers may come early by its clock's resolution.
        assert 249 <= duration < 5000, "the installation would give it ten seconds"
