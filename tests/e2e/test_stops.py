"""What a load balancer, publishers and receivers see of a server that is told to stop."""

import asyncio
import signal
import time
from http import HTTPStatus
from pathlib import Path

import aiohttp
import pytest

from tests.faults.place import ServerPlace
from tests.faults.stage import Up, api_of, event_named, running, served_by
from tests.support.receivers import LOOPBACK, Receiver
from tests.support.waiting import until

STOPS_WITHIN = 15
REQUESTS_END_WITHIN = 12


async def is_unready(up: Up) -> bool:
    async with aiohttp.request("GET", f"http://{LOOPBACK}:{up.ports[1]}/readyz") as response:
        return response.status == HTTPStatus.SERVICE_UNAVAILABLE


@pytest.mark.parametrize("options", [(), ("--workers", "2")], ids=["alone", "two workers"])
async def test_during_the_delay_it_accepts_requests_and_is_unready_and_claims_nothing(
    place: ServerPlace, tmp_path: Path, options: tuple[str, ...]
) -> None:
    up = Up(tmp_path, {**place.settings, "SHUTDOWN_DELAY": "6s"}, options=options)
    async with Receiver("hang") as receiver, served_by(up) as api:
        await api.subscribe(receiver.url)
        await api.publish("before")
        await receiver.wait_for(1)
        assert up.process
        up.process.send_signal(signal.SIGTERM)
        await until("it is unready", lambda: is_unready(up))
        async with api_of(up) as another:  # by a new connection, which is not to be kept
            url = f"{another.base}/environments/{api.environment}/events"
            event = event_named("meanwhile")
            async with another.session.post(url, json=event) as response:
                assert response.status == HTTPStatus.ACCEPTED
                assert response.headers["Connection"] == "close"
        receiver.release()  # so that the attempt that is under way ends
        assert await up.ended(STOPS_WITHIN) == 0
        states = "SELECT count(*) FROM deliveries WHERE state = '{}' AND worker IS NULL"
        assert await place.count(states.format("succeeded")) == 1
        assert await place.count(states.format("pending")) == 1
        assert len(receiver.requests) == 1, "nothing is claimed any more, on insert neither"


async def test_requests_that_do_not_end_are_closed_and_the_process_ends(tmp_path: Path) -> None:
    async with (
        Receiver("hang") as receiver,
        running(tmp_path, WEBHOOKS_WRITE_TIMEOUT="60s") as (up, api),
    ):
        webhook_id = await api.subscribe(receiver.url)
        patient = aiohttp.ClientTimeout(60)
        testing = asyncio.create_task(
            api.session.post(f"{api.base}/webhooks/{webhook_id}/test", timeout=patient)
        )
        await receiver.wait_for(1)
        told = time.monotonic()
        assert await up.terminate(STOPS_WITHIN) == 0
        with pytest.raises(aiohttp.ClientError):
            await testing
        assert time.monotonic() - told >= REQUESTS_END_WITHIN - 1, "it had that long to end"


async def test_a_hangup_of_its_terminal_stops_it_in_order(tmp_path: Path) -> None:
    async with running(tmp_path) as (up, _):
        assert up.process
        up.process.send_signal(signal.SIGHUP)
        assert await up.ended(STOPS_WITHIN) == 0
        assert '"stopping"' in up.said()
