"""Webhooks with a rate limit: when their requests are made, and that nobody else waits for it."""

from collections.abc import AsyncIterator
from itertools import pairwise

import pytest
from attrs import evolve

from notification_adapters.memory.sender import Hang
from notification_core.model.delivery import DeliveryState
from notification_core.model.webhook import Webhook
from tests.support.assembly import MemoryApp
from tests.support.dispatching import dispatching


@pytest.fixture
async def app() -> AsyncIterator[MemoryApp]:
    async with dispatching(MemoryApp()) as app:
        yield app


def _started(app: MemoryApp, webhook: Webhook) -> list[float]:
    """Return when the attempts of a webhook began, in seconds."""
    attempts = [one for one in app.stored_attempts() if one.webhook_id == webhook.webhook_id]
    return sorted(attempt.started_at.timestamp() for attempt in attempts)


async def test_requests_are_made_at_the_rate_and_evenly(app: MemoryApp) -> None:
    webhook = await app.add_webhook(rate_limit=20)
    await app.publish(41)
    await app.until(lambda: len(app.stored_attempts()) == 41, within=10)
    started = _started(app, webhook)
    assert started[-1] - started[0] == pytest.approx(2, rel=0.02)
    gaps = [later - earlier for earlier, later in pairwise(started)]
    assert min(gaps) > 0.02
    assert max(gaps) < 0.1


async def test_the_first_of_them_waits_for_nothing(app: MemoryApp) -> None:
    webhook = await app.add_webhook(rate_limit=1)
    before = app.clock.now().timestamp()
    await app.publish()
    await app.until(lambda: app.states() == {DeliveryState.SUCCEEDED})
    assert _started(app, webhook)[0] - before < 0.1


async def test_retries_keep_to_the_rate(app: MemoryApp) -> None:
    webhook = await app.add_webhook(rate_limit=2)
    app.sender.respond(webhook.url, 500, 500, 200)
    await app.publish(3)
    await app.until(lambda: app.states() == {DeliveryState.SUCCEEDED}, within=30)
    gaps = [later - earlier for earlier, later in pairwise(_started(app, webhook))]
    assert len(gaps) == 4
    assert min(gaps) > 0.49


async def test_others_do_not_wait_for_a_webhook_at_its_limit(app: MemoryApp) -> None:
    await app.add_webhook(rate_limit=1)
    other = await app.add_webhook()
    before = app.clock.now().timestamp()
    await app.publish(20)
    await app.until(lambda: len(_started(app, other)) == 20)
    assert _started(app, other)[-1] - before < 0.2


async def test_a_limit_that_is_removed_lets_the_rest_go_at_once(app: MemoryApp) -> None:
    webhook = await app.add_webhook(rate_limit=1)
    await app.publish(10)
    await app.until(lambda: len(_started(app, webhook)) == 1)
    changed = evolve(webhook, rate_limit=None, version=2)
    app.dispatcher.on_webhooks_changed(await app.storage.webhooks.replace(changed))
    await app.until(lambda: app.states() == {DeliveryState.SUCCEEDED}, within=2)


async def test_what_a_slow_receiver_held_up_is_not_sent_in_a_burst(app: MemoryApp) -> None:
    webhook = await app.add_webhook(rate_limit=100)
    app.sender.respond(webhook.url, Hang.HANG)
    await app.publish(200)
    await app.until(lambda: len(app.sender.requests) == 64, within=5)
    await app.clock.advance(0.9)
    app.sender.respond(webhook.url, 200)
    app.sender.release(webhook.url)
    await app.until(lambda: app.states() == {DeliveryState.SUCCEEDED}, within=30)
    late = _started(app, webhook)[64:]
    within = max(sum(begin <= one < begin + 0.1 for one in late) for begin in late)
    assert within <= 25
