"""What every storage promises of the mark of an environment: a change makes another one."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from notification_core.model.replay import NOT_ARRIVED, Replay, Selection
from notification_core.model.webhook import Webhook
from tests.contracts.harness import Harness

DAY = timedelta(days=1)
Change = Callable[[Harness, Webhook], Awaitable[object]]


async def _attempt(harness: Harness, webhook: Webhook) -> object:
    return await harness.finish(await harness.begin(webhook))


async def _change(harness: Harness, webhook: Webhook) -> object:
    return await harness.change(webhook, name="Another name")


async def _delete(harness: Harness, webhook: Webhook) -> object:
    now = harness.clock.now()
    return await harness.storage.webhooks.delete(webhook.environment_id, webhook.webhook_id, now)


async def _create(harness: Harness, webhook: Webhook) -> object:
    return await harness.webhook(webhook.environment_id)


async def _replay(harness: Harness, webhook: Webhook) -> None:
    now = harness.clock.now()
    chosen = Selection(now - DAY, now + DAY, frozenset(NOT_ARRIVED))
    replay = Replay(harness.ids(), webhook.environment_id, webhook.webhook_id, chosen, now)
    await harness.storage.replays.add(replay)


async def _erase(harness: Harness, webhook: Webhook) -> object:
    return await harness.storage.erasures.begin(webhook.environment_id, harness.clock.now())


@pytest.mark.parametrize("change", [_attempt, _change, _delete, _create, _replay, _erase])
async def test_a_change_makes_another_mark_of_its_environment_alone(
    harness: Harness, change: Change
) -> None:
    webhook = await harness.webhook()
    since = harness.clock.now() - DAY
    mark = harness.rival.changes.mark
    before = await mark(harness.environment_id, since)
    others = await mark(harness.other_environment_id, since)
    assert await mark(harness.environment_id, since) == before
    await change(harness, webhook)
    assert await mark(harness.environment_id, since) != before
    assert await mark(harness.other_environment_id, since) == others


async def test_a_replay_that_advances_or_ends_makes_another_mark(harness: Harness) -> None:
    webhook = await harness.webhook()
    await harness.publish(webhook)
    since = harness.clock.now() - DAY
    await _replay(harness, webhook)
    marks = [await harness.storage.changes.mark(harness.environment_id, since)]
    while running := await harness.storage.replays.running(1):
        await harness.storage.replays.advance(running[0], 1, 100)
        marks.append(await harness.storage.changes.mark(harness.environment_id, since))
    assert len(set(marks)) == len(marks)
