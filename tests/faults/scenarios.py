"""What is done to a product of which nobody knows yet whether it keeps its promises.

Each scenario takes the arguments of the launcher, and returns all that is known of the run. A good
product comes through all of them; a bad one may never come to rest, which is waited for no longer
than a good one takes.
"""

import asyncio
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path

import aiohttp
from attrs import define, evolve, field

from tests.faults.accounts import Accounts, Manner
from tests.faults.history import Allowed, History
from tests.faults.kafka_stage import EVENTS, Account, consuming, event
from tests.faults.load import accounted
from tests.faults.place import Place
from tests.faults.stage import Api, Up, api_of, event_named
from tests.kafka.topics import Kafka
from tests.support.receivers import Receiver
from tests.support.waiting import until

_RESTS_WITHIN = 20.0
_SETTINGS = {"WEBHOOKS_RETRY_INTERVAL": "200ms", "WEBHOOKS_BREAKER_FAILURES": "0"}
BULK = 1000
LEASE, POLL = 2.0, 1.0
"""Seconds: of a process that hangs, and of what is polled by default."""

_HUNG = {
    **_SETTINGS,
    "WEBHOOKS_WRITE_TIMEOUT": "1s",
    "WEBHOOKS_LEASE": f"{LEASE:.0f}s",
    "WEBHOOKS_MAX_IN_FLIGHT": "64",
    "WEBHOOKS_MAX_IN_FLIGHT_PER_WEBHOOK": "2",
}


@define
class Scene:
    """An installation with one webhook, and the account of it."""

    up: Up
    api: Api
    place: Place
    accounts: Accounts
    webhook_id: str
    key: str
    published: dict[str, bool] = field(factory=dict)

    @property
    def receiver(self) -> Receiver:
        """The webhook's receiver."""
        (receiver,) = self.accounts.receivers
        return receiver

    async def publish(self, event_ids: Sequence[str], key: str | None = None) -> None:
        """Publish events; whether they are acknowledged is noted."""
        self.published |= {one: self.published.get(one, False) for one in event_ids}
        try:
            status = await self.api.try_to_publish([event_named(one, key) for one in event_ids])
        except (aiohttp.ClientError, TimeoutError):
            return
        if status == HTTPStatus.ACCEPTED:
            self.published |= dict.fromkeys(event_ids, True)

    async def killed_and_started_again(self, tampering: Sequence[str] = ()) -> None:
        """Wait until it has killed itself; start it again, with the producer's second try.

        A bad one may not start again: then nothing more comes of it.
        """
        await self.up.ended(within=60)
        self.up.tampering = tampering
        with suppress(AssertionError):
            await self.up.start()
        await self.publish_again()

    @property
    def start_took(self) -> float:
        """How many seconds its last start took."""
        return (self.up.readies[-1] - self.up.starts[-1]).total_seconds()

    async def publish_again(self) -> None:
        """Publish again what nobody has acknowledged, as a producer does."""
        missing = [one for one, acknowledged in self.published.items() if not acknowledged]
        if missing:
            await self.publish(missing)

    async def rested(self, *kills: datetime, within: float = _RESTS_WITHIN) -> History:
        """Return all that is known of the run once nothing is left to do, or will not be done."""
        with suppress(AssertionError):
            await until("nothing is left to do", self.place.is_done, within)
        return History(
            accounted(self.api, self.published),
            self.accounts.seen(self.key),
            await self.place.stored(),
            Allowed(kills=kills),
        )


@asynccontextmanager
async def on_scene(
    folder: Path, place: Place, tampering: Sequence[str], manner: Manner, **settings: str
) -> AsyncIterator[Scene]:
    """Run an installation, tampered with, with one webhook to a receiver of this manner."""
    accounts = Accounts()
    up = Up(folder, _SETTINGS | settings, place=place)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(up.close)
        receiver = await stack.enter_async_context(accounts.receiver(manner))
        up.tampering = tampering
        await up.start()
        api = await stack.enter_async_context(api_of(up))
        webhook_id = await api.subscribe(receiver.url)
        yield Scene(up, api, place, accounts, webhook_id, await api.key())


def events(count: int) -> Sequence[str]:
    """Return the ids of so many events."""
    return [f"event-{number:04}" for number in range(count)]


async def published_in_order(folder: Path, place: Place, tampering: Sequence[str]) -> History:
    """Publish events of one ordering key to a receiver that takes some time."""
    async with on_scene(folder, place, tampering, lambda: (0.1, 200)) as scene:
        await scene.api.change(scene.webhook_id, ordered=True)
        await scene.publish(events(8), key="a")
        return await scene.rested()


async def failing(folder: Path, place: Place, tampering: Sequence[str]) -> History:
    """Publish to a receiver that takes some time and fails again and again."""
    responses = [500, 200, 503, 500, 200]

    def manner() -> tuple[float, int]:
        responses.append(responses.pop(0))
        return 0.3, responses[-1]

    settings = {"WEBHOOKS_RETRY_INTERVAL": "100ms"}
    async with on_scene(folder, place, tampering, manner, **settings) as scene:
        await scene.publish(events(30))
        return await scene.rested()


async def failing_once(folder: Path, place: Place, tampering: Sequence[str]) -> History:
    """Publish to a receiver that fails at first, and wait long with the retry."""
    responses = [500, 200]

    def manner() -> tuple[float, int]:
        return 0, responses.pop(0)

    settings = {"WEBHOOKS_RETRY_INTERVAL": "4s"}
    async with on_scene(folder, place, tampering, manner, **settings) as scene:
        await scene.publish(["event"])
        return await scene.rested()


async def slow_at_first(folder: Path, place: Place, tampering: Sequence[str]) -> History:
    """Publish to a receiver whose first responses take longer than the time between two polls."""
    slow = [1.5 * POLL] * 5

    def manner() -> tuple[float, int]:
        return slow.pop() if slow else 0, 200

    async with on_scene(folder, place, tampering, manner) as scene:
        await scene.publish(events(5))
        return await scene.rested()


async def published_twice(folder: Path, place: Place, tampering: Sequence[str]) -> History:
    """Publish the same events twice."""
    async with on_scene(folder, place, tampering, lambda: (0, 200)) as scene:
        await scene.publish(events(5))
        await scene.publish(events(5))
        return await scene.rested()


async def _killed(folder: Path, place: Place, tampering: Sequence[str], at: str) -> History:
    """Kill it at a point, and have the producer and the next process go on."""
    armed = (*tampering, "--at", f"{at}=kill")
    async with on_scene(folder, place, armed, lambda: (0.1, 200)) as scene:
        await scene.publish(events(5))
        await scene.killed_and_started_again(tampering)
        return await scene.rested(*scene.up.kills)


async def killed_before_sending(folder: Path, place: Place, tampering: Sequence[str]) -> History:
    """Kill it when attempts have begun and nothing is sent."""
    return await _killed(folder, place, tampering, "connecting")


async def killed_after_the_response(
    folder: Path, place: Place, tampering: Sequence[str]
) -> History:
    """Kill it when the receiver has answered and nothing of that is written."""
    return await _killed(folder, place, tampering, "answered")


async def killed_while_finishing(folder: Path, place: Place, tampering: Sequence[str]) -> History:
    """Kill it between an attempt's log and the end of its delivery."""
    return await _killed(folder, place, tampering, "ending")


async def killed_amid_a_bulk(folder: Path, place: Place, tampering: Sequence[str]) -> History:
    """Kill it when most of what it stored at once waits in its memory, and some of that is out."""
    armed = (*tampering, "--at", f"answered=kill:{BULK // 4}")
    async with on_scene(folder, place, armed, lambda: (0.01, 200)) as scene:
        await scene.publish(events(BULK))
        await scene.killed_and_started_again(tampering)
        return await scene.rested(*scene.up.kills)


async def killed_while_paused(folder: Path, place: Place, tampering: Sequence[str]) -> History:
    """Kill it when its webhook is paused, and its receiver takes long: it is being probed."""
    slow, status = 0.0, 503
    breaker = {"WEBHOOKS_BREAKER_FAILURES": "3", "WEBHOOKS_BREAKER_PAUSE": "1s"}
    async with on_scene(folder, place, tampering, lambda: (slow, status), **breaker) as scene:

        async def is_paused() -> bool:
            webhook = await scene.api.call("GET", f"webhooks/{scene.webhook_id}")
            health = webhook["health"]
            return isinstance(health, dict) and health["state"] == "paused"

        async def is_idle() -> bool:
            return (
                await place.count("SELECT count(*) FROM deliveries WHERE worker IS NOT NULL") == 0
            )

        await scene.publish(events(30))
        await until("the webhook is paused", is_paused)
        await until("what was sent before has ended", is_idle)
        slow, status = 60.0, 200
        before = len(scene.receiver.requests)
        await scene.receiver.wait_for(before + 1)
        # What is not to be sent beside the probe comes within this time, or never.
        await asyncio.sleep(2 * POLL)
        await scene.up.kill()
        slow = 0.0
        await scene.up.start()
        history = await scene.rested(*scene.up.kills)
        return evolve(history, allowed=evolve(history.allowed, max_in_flight=1, probes=True))


async def killed_in_the_fan_out(folder: Path, place: Place, tampering: Sequence[str]) -> History:
    """Kill it when the deliveries are inserted, and not committed."""
    return await _killed(folder, place, tampering, "fanned out")


async def killed_at_the_first_request(
    folder: Path, place: Place, tampering: Sequence[str]
) -> History:
    """Kill it as soon as a receiver has seen something, and have the producer stay away."""
    async with on_scene(folder, place, tampering, lambda: (5, 200)) as scene:
        await scene.publish(events(5))
        await scene.receiver.wait_for(1)
        await scene.up.kill()
        await scene.up.start()
        return await scene.rested(*scene.up.kills)


async def deleted(folder: Path, place: Place, tampering: Sequence[str]) -> History:
    """Delete the webhook while much of it waits."""
    settings = {"WEBHOOKS_MAX_IN_FLIGHT_PER_WEBHOOK": "2"}
    async with on_scene(folder, place, tampering, lambda: (0.3, 200), **settings) as scene:
        await scene.publish(events(30))
        await scene.receiver.wait_for(4)
        await scene.api.delete(scene.webhook_id)
        history = await scene.rested()
        # What nobody should begin any more is begun within this time, or never.
        await asyncio.sleep(2)
        return await scene.rested() if scene.receiver.in_flight else history


async def hung(folder: Path, place: Place, tampering: Sequence[str]) -> History:
    """Stop a process for longer than its lease, and let it go on beside another one."""
    history, _ = await hung_beside_another(folder, place, tampering)
    return history


async def hung_beside_another(
    folder: Path, place: Place, tampering: Sequence[str]
) -> tuple[History, float]:
    """Do the same; tell too how many seconds the other one, which begins then, took to start."""
    async with (
        on_scene(folder / "1", place, tampering, lambda: (0.3, 200), **_HUNG) as scene,
        AsyncExitStack() as stack,
    ):
        other = Up(folder / "2", _HUNG, place=place, tampering=tampering)
        stack.push_async_callback(other.close)
        await scene.publish(events(30))
        await scene.receiver.wait_for(2)
        assert scene.up.process
        scene.up.process.send_signal(signal.SIGSTOP)
        stopped = datetime.now(UTC)
        await other.start()
        before = len(scene.receiver.requests)
        await scene.receiver.wait_for(before + 4, within=60)
        scene.up.process.send_signal(signal.SIGCONT)
        starting = (other.readies[-1] - other.starts[-1]).total_seconds()
        return await scene.rested(stopped, datetime.now(UTC)), starting


async def consumed_and_killed(
    folder: Path, place: Place, tampering: Sequence[str], kafka: Kafka
) -> History:
    """Kill a consumer when it has read events, and stored none."""
    accounts = Accounts()
    armed = (*tampering, "--at", "polled=kill")
    async with (
        consuming(folder, kafka, place, armed, WEBHOOKS_RETRY_INTERVAL="200ms") as stage,
        accounts.receiver(lambda: (0, 200)) as receiver,
    ):
        webhook_id = await stage.api.subscribe(receiver.url)
        account = Account(stage.api.environment)
        values = [event(account) for _ in range(5)]
        await kafka.send(EVENTS, *values, partition=0, key=b"k")
        await stage.consumer.ended()
        stage.consumer.tampering = tampering
        await stage.consumer.start()
        # The last one tells that what came before it was read, or never will be.
        await kafka.send(EVENTS, event(account), partition=0, key=b"k")
        await until("it has read on", lambda: stage.is_caught_up(account), 90)
        key = await stage.api.key()
        scene = Scene(stage.consumer, stage.api, place, accounts, webhook_id, key)
        scene.published |= {one.event_id: True for one in account.published}
        return await scene.rested(*stage.consumer.kills)
