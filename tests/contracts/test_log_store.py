"""What a log store promises."""

from datetime import timedelta
from itertools import cycle, islice

import pytest
from attrs import evolve

from notification_core.model.delivery import (
    Attempt,
    AttemptOutcome,
    AttemptResult,
    Failed,
    NextStep,
    Retry,
    Succeeded,
)
from notification_core.model.phases import REUSED, Phases
from notification_core.model.read_models import Activity, AttemptCriteria, LastAttempt, WebhookView
from tests.contracts.harness import DELAY, TYPE, Harness


async def test_a_page_shows_the_newest_first_and_goes_on_below(harness: Harness) -> None:
    webhook = await harness.webhook()
    logged = []
    for _ in range(7):
        logged.append((await harness.finish(await harness.begin(webhook))).attempt)
        await harness.clock.advance(1)
    newest_first = logged[::-1]
    key = webhook.environment_id, webhook.webhook_id
    first = await harness.storage.logs.page(*key, limit=3)
    assert (list(first.rows), first.after) == (newest_first[:3], newest_first[2].log_id)
    second = await harness.storage.logs.page(*key, limit=3, before=first.after)
    assert list(second.rows) == newest_first[3:6]
    last = await harness.storage.logs.page(*key, limit=3, before=second.after)
    assert (list(last.rows), last.after) == (newest_first[6:], None)
    beyond = await harness.storage.logs.page(*key, limit=3, before=last.rows[-1].log_id)
    assert list(beyond.rows) == []


MS = timedelta(milliseconds=1)
OPENED = Phases(dns=2 * MS, connect=3 * MS, tls=5 * MS, first_byte=8 * MS, read=timedelta())
PHASES = (REUSED, None, OPENED, Phases(read=9 * MS), Phases(dns=timedelta(seconds=30)))


@pytest.mark.parametrize("phases", PHASES, ids=str)
async def test_an_attempt_has_the_phases_that_its_sender_measured(
    harness: Harness, phases: Phases | None
) -> None:
    webhook = await harness.webhook()
    result = harness.result(await harness.begin(webhook), Succeeded())
    await harness.storage.deliveries.finish([_with_phases(result, phases)], DELAY)
    (logged,) = await harness.log(webhook)
    assert logged.phases == phases
    key = logged.environment_id, logged.delivery_id
    view = await harness.storage.history.delivery(*key)
    assert view.attempts is not None
    assert [attempt.phases for attempt in view.attempts] == [phases]


@pytest.mark.parametrize("count", [5, 60], ids=["a few", "many"])
@pytest.mark.parametrize("next_step", [Succeeded(), Retry(timedelta())], ids=["sent", "retried"])
async def test_attempts_that_are_written_together_keep_their_phases(
    harness: Harness, count: int, next_step: NextStep
) -> None:
    webhook = await harness.webhook()
    results = [
        _with_phases(harness.result(await harness.begin(webhook), next_step), phases)
        for phases in islice(cycle(PHASES), count)
    ]
    await harness.storage.deliveries.finish(results, DELAY)
    logged = {attempt.log_id: attempt.phases for attempt in await harness.log(webhook)}
    assert logged == {result.attempt.log_id: result.attempt.phases for result in results}


def _with_phases(result: AttemptResult, phases: Phases | None) -> AttemptResult:
    return evolve(result, attempt=evolve(result.attempt, phases=phases))


async def test_a_log_is_its_webhooks_own(harness: Harness) -> None:
    webhook, other = await harness.webhook(), await harness.webhook()
    await harness.finish(await harness.begin(other))
    assert list(await harness.log(webhook)) == []


async def test_a_log_is_hidden_from_another_environment(harness: Harness) -> None:
    webhook = await harness.webhook()
    await harness.finish(await harness.begin(webhook))
    key = harness.other_environment_id, webhook.webhook_id
    assert list((await harness.storage.logs.page(*key, limit=10)).rows) == []
    assert await harness.storage.logs.webhooks(*key) == []


async def test_the_log_of_a_deleted_webhook_can_be_read(harness: Harness) -> None:
    webhook = await harness.webhook()
    await harness.finish(await harness.begin(webhook))
    await harness.storage.webhooks.delete(
        webhook.environment_id, webhook.webhook_id, harness.clock.now()
    )
    assert len(await harness.log(webhook)) == 1


async def test_attempts_are_chosen_by_outcome_type_answer_and_time(harness: Harness) -> None:
    webhook = await harness.webhook()
    done = (await harness.finish(await harness.begin(webhook))).attempt
    failed = (await harness.finish(await harness.begin(webhook), Failed())).attempt
    await harness.clock.advance(1)
    later = harness.clock.now()
    cut_off = await harness.finish(
        await harness.begin(webhook), Retry(timedelta()), outcome=AttemptOutcome.INTERRUPTED
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
        page = await harness.storage.logs.page(*key, limit=10, criteria=criteria)
        assert [one.log_id for one in page.rows] == [one.log_id for one in expected]
        assert page.after is None


async def test_a_look_at_a_log_that_was_bounded_goes_on_where_it_stopped(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    for adapter in ("memory", "sql"):
        monkeypatch.setattr(f"notification_adapters.{adapter}.pages.MAX_EXAMINED", 2)
    webhook = await harness.webhook()
    old = await harness.finish(await harness.begin(webhook), Failed())
    for _ in range(3):
        await harness.finish(await harness.begin(webhook))
    key, criteria = (webhook.environment_id, webhook.webhook_id), AttemptCriteria(http_code=500)
    first = await harness.storage.logs.page(*key, limit=5, criteria=criteria)
    assert list(first.rows) == []
    second = await harness.storage.logs.page(*key, limit=5, before=first.after, criteria=criteria)
    assert [one.log_id for one in second.rows] == [old.attempt.log_id]


async def test_webhooks_tell_what_they_last_did(harness: Harness) -> None:
    failing, well, idle, deleted = [await harness.webhook() for _ in range(4)]
    error = await harness.finish(await harness.begin(failing), Failed())
    success = await harness.finish(await harness.begin(failing))
    only = await harness.finish(await harness.begin(well))
    await harness.finish(await harness.begin(deleted))
    await harness.storage.webhooks.delete(
        harness.environment_id, deleted.webhook_id, harness.clock.now()
    )
    other = await harness.webhook(environment_id=harness.other_environment_id)
    views = [
        WebhookView(failing, Activity(in_short(success.attempt), in_short(error.attempt))),
        WebhookView(well, Activity(in_short(only.attempt))),
        WebhookView(idle, Activity()),
    ]
    logs, environment_id = harness.storage.logs, harness.environment_id
    assert list(await logs.webhooks(environment_id)) == views
    for view in views:
        assert list(await logs.webhooks(environment_id, view.webhook.webhook_id)) == [view]
    for webhook in (deleted, other):
        assert list(await logs.webhooks(environment_id, webhook.webhook_id)) == []


async def test_an_interrupted_attempt_is_the_latest_error_too(harness: Harness) -> None:
    webhook = await harness.webhook()
    cut_off = await harness.finish(
        await harness.begin(webhook), Retry(timedelta()), outcome=AttemptOutcome.INTERRUPTED
    )
    (view,) = await harness.storage.logs.webhooks(harness.environment_id)
    assert view.activity.last_errored == in_short(cut_off.attempt)


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
