"""What a log store promises."""

from datetime import timedelta

import pytest

from notification_core.model.delivery import Attempt, AttemptOutcome, Failed, Retry
from notification_core.model.read_models import Activity, AttemptCriteria, LastAttempt
from tests.contracts.world import TYPE, World


async def test_a_page_shows_the_newest_first_and_goes_on_below(world: World) -> None:
    webhook = await world.webhook()
    logged = []
    for _ in range(7):
        logged.append((await world.finish(await world.begin(webhook))).attempt)
        await world.clock.advance(1)
    newest_first = logged[::-1]
    key = webhook.environment_id, webhook.webhook_id
    first = await world.storage.logs.page(*key, limit=3)
    assert (list(first.rows), first.after) == (newest_first[:3], newest_first[2].log_id)
    second = await world.storage.logs.page(*key, limit=3, before=first.after)
    assert list(second.rows) == newest_first[3:6]
    last = await world.storage.logs.page(*key, limit=3, before=second.after)
    assert (list(last.rows), last.after) == (newest_first[6:], None)
    beyond = await world.storage.logs.page(*key, limit=3, before=last.rows[-1].log_id)
    assert list(beyond.rows) == []


async def test_a_log_is_its_webhooks_own(world: World) -> None:
    webhook, other = await world.webhook(), await world.webhook()
    await world.finish(await world.begin(other))
    assert list(await world.log(webhook)) == []


async def test_a_log_is_hidden_from_another_environment(world: World) -> None:
    webhook = await world.webhook()
    await world.finish(await world.begin(webhook))
    key = world.other_environment_id, webhook.webhook_id
    assert list((await world.storage.logs.page(*key, limit=10)).rows) == []
    assert await world.storage.logs.activity(*key) == {}


async def test_the_log_of_a_deleted_webhook_can_be_read(world: World) -> None:
    webhook = await world.webhook()
    await world.finish(await world.begin(webhook))
    await world.storage.webhooks.delete(
        webhook.environment_id, webhook.webhook_id, world.clock.now()
    )
    assert len(await world.log(webhook)) == 1


async def test_attempts_are_chosen_by_outcome_type_answer_and_time(world: World) -> None:
    webhook = await world.webhook()
    done = (await world.finish(await world.begin(webhook))).attempt
    failed = (await world.finish(await world.begin(webhook), Failed())).attempt
    await world.clock.advance(1)
    later = world.clock.now()
    cut_off = await world.finish(
        await world.begin(webhook), Retry(timedelta()), outcome=AttemptOutcome.INTERRUPTED
    )
    for criteria, expected in (
        (AttemptCriteria(outcome=AttemptOutcome.SUCCEEDED), [done]),
        (AttemptCriteria(outcome=AttemptOutcome.FAILED), [failed]),
        (AttemptCriteria(outcome=AttemptOutcome.INTERRUPTED), [cut_off.attempt]),
        (AttemptCriteria(http_code=500), [failed]),
        (AttemptCriteria(http_code=200, event_type=TYPE), [done]),
        (AttemptCriteria(event_type="another"), []),
        (AttemptCriteria(since=later), [cut_off.attempt]),
        (AttemptCriteria(until=later), [failed, done]),
        (AttemptCriteria(outcome=AttemptOutcome.FAILED, until=later), [failed]),
    ):
        key = webhook.environment_id, webhook.webhook_id
        page = await world.storage.logs.page(*key, limit=10, criteria=criteria)
        assert [one.log_id for one in page.rows] == [one.log_id for one in expected]
        assert page.after is None


async def test_a_look_at_a_log_that_was_bounded_goes_on_where_it_stopped(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for adapter in ("memory", "sql"):
        monkeypatch.setattr(f"notification_adapters.{adapter}.pages.MOST_LOOKED_AT", 2)
    webhook = await world.webhook()
    old = await world.finish(await world.begin(webhook), Failed())
    for _ in range(3):
        await world.finish(await world.begin(webhook))
    key, criteria = (webhook.environment_id, webhook.webhook_id), AttemptCriteria(http_code=500)
    first = await world.storage.logs.page(*key, limit=5, criteria=criteria)
    assert list(first.rows) == []
    second = await world.storage.logs.page(*key, limit=5, before=first.after, criteria=criteria)
    assert [one.log_id for one in second.rows] == [old.attempt.log_id]


async def test_webhooks_tell_what_they_last_did(world: World) -> None:
    failing, well, idle, deleted = [await world.webhook() for _ in range(4)]
    error = await world.finish(await world.begin(failing), Failed())
    success = await world.finish(await world.begin(failing))
    only = await world.finish(await world.begin(well))
    await world.finish(await world.begin(deleted))
    await world.storage.webhooks.delete(world.environment_id, deleted.webhook_id, world.clock.now())
    told = await world.storage.logs.activity(world.environment_id)
    assert told == {
        failing.webhook_id: Activity(in_short(success.attempt), in_short(error.attempt)),
        well.webhook_id: Activity(in_short(only.attempt)),
    }
    one = await world.storage.logs.activity(world.environment_id, well.webhook_id)
    assert one == {well.webhook_id: told[well.webhook_id]}
    assert await world.storage.logs.activity(world.environment_id, idle.webhook_id) == {}


async def test_an_interrupted_attempt_is_the_latest_error_too(world: World) -> None:
    webhook = await world.webhook()
    cut_off = await world.finish(
        await world.begin(webhook), Retry(timedelta()), outcome=AttemptOutcome.INTERRUPTED
    )
    told = await world.storage.logs.activity(world.environment_id)
    assert told[webhook.webhook_id].last_errored == in_short(cut_off.attempt)


def in_short(attempt: Attempt) -> LastAttempt:
    """Return an attempt as its webhook shows it."""
    return LastAttempt(
        attempt.log_id,
        attempt.delivery_id,
        attempt.event_type,
        attempt.started_at,
        attempt.response.http_code if attempt.response else None,
        attempt.duration,
        attempt.error,
    )
