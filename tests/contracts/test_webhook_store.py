"""What a webhook store promises."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from attrs import evolve

from notification_core.errors import TooManyWebhooks, WebhookChanged, WebhookNotFound
from notification_core.model.delivery import (
    AttemptOutcome,
    DeliveryState,
    EndReason,
    Failed,
    Succeeded,
)
from notification_core.model.retry_overrides import RetryOverrides
from notification_core.model.webhook import FOREVER, DisabledReason, Method, Webhook
from tests.contracts.harness import DELAY, Harness

HOUR = timedelta(hours=1)
FULL: dict[str, Any] = {
    "name": "Ünï “quoted” 'name'",
    "url": "https://receiver.example.com/ä?b=c%20d",
    "events": frozenset({"pipeline-created", "job-completed"}),
    "method": Method.PATCH,
    "description": "line\nline",
    "filter": '{"const":"\\u0000 é 😀"}',
    "retry": RetryOverrides(
        0, timedelta(milliseconds=100), 1.5, timedelta(hours=1, microseconds=1)
    ),
    "timeout": timedelta(milliseconds=250, microseconds=1),
    "disabled_until": datetime(2030, 5, 6, 7, 8, 9, 123456, tzinfo=UTC),
    "disabled_reason": DisabledReason.GONE,
    "disabled_at": datetime(1969, 5, 6, 7, 8, 9, 1, tzinfo=UTC),
    "custom_headers": {"Authorization": "Bearer ÿ", "x-empty": ""},
}


async def test_a_webhook_comes_back_as_it_was_stored(harness: Harness) -> None:
    plain, full = await harness.webhook(), await harness.webhook(**FULL)
    for webhook in (plain, full):
        key = webhook.environment_id, webhook.webhook_id
        assert await harness.storage.webhooks.get(*key) == webhook
        assert await harness.storage.webhooks.environment_of(webhook.webhook_id) == key[0]


async def test_a_list_is_the_environments_own_and_the_oldest_comes_first(harness: Harness) -> None:
    mine = []
    for _ in range(3):
        await harness.clock.advance(1)
        mine.append(await harness.webhook(webhook_id=uuid4()))
        await harness.webhook(environment_id=harness.other_environment_id)
    assert list(await harness.storage.webhooks.list(harness.environment_id)) == mine
    assert list(await harness.storage.webhooks.list(uuid4())) == []


async def test_webhooks_are_counted_by_environment_page_by_page(harness: Harness) -> None:
    store = harness.storage.webhooks
    environments = sorted(uuid4() for _ in range(4))
    for number, environment_id in enumerate(environments):
        for _ in range(number):
            await harness.webhook(webhook_id=uuid4(), environment_id=environment_id)
    gone = await harness.webhook(webhook_id=uuid4(), environment_id=environments[0])
    await store.delete(environments[0], gone.webhook_id, harness.clock.now())
    found = await store.count_by_environment(2)
    assert [*found.items()] == [(environments[1], 1), (environments[2], 2)]
    found = await store.count_by_environment(2, environments[2])
    assert [*found.items()] == [(environments[3], 3)]
    found = await store.count_by_environment(9, among={*environments[2:], uuid4()})
    assert [*found] == environments[2:]
    assert not await store.count_by_environment(9, among=())


async def test_another_environments_webhook_is_not_found_by_anything(harness: Harness) -> None:
    webhook = await harness.webhook()
    await harness.publish(webhook)
    theirs = harness.other_environment_id, webhook.webhook_id
    store, now = harness.storage.webhooks, harness.clock.now()
    with pytest.raises(WebhookNotFound):
        await store.get(*theirs)
    with pytest.raises(WebhookNotFound):
        await store.delete(*theirs, now)
    with pytest.raises(WebhookNotFound):
        await store.replace(evolve(webhook, environment_id=theirs[0], version=2))
    assert await store.disable_failing(*theirs, now, now) is False
    assert list((await harness.storage.logs.page(*theirs, limit=10)).rows) == []
    assert await store.get(harness.environment_id, webhook.webhook_id) == webhook
    assert len((await harness.claim()).deliveries) == 1


async def test_an_unknown_webhook_is_not_found(harness: Harness) -> None:
    store = harness.storage.webhooks
    with pytest.raises(WebhookNotFound):
        await store.environment_of(uuid4())
    with pytest.raises(WebhookNotFound):
        await store.get(harness.environment_id, uuid4())
    with pytest.raises(WebhookNotFound):
        await store.delete(harness.environment_id, uuid4(), harness.clock.now())


async def test_an_environment_has_no_more_webhooks_than_it_may(harness: Harness) -> None:
    webhook = await harness.webhook()
    await harness.webhook(environment_id=harness.other_environment_id)
    store = harness.storage.webhooks
    await store.add(evolve(webhook, webhook_id=uuid4()), most=2)
    with pytest.raises(TooManyWebhooks):
        await store.add(evolve(webhook, webhook_id=uuid4()), most=2)
    await store.delete(harness.environment_id, webhook.webhook_id, harness.clock.now())
    await store.add(evolve(webhook, webhook_id=uuid4()), most=2)
    assert len(await store.list(harness.environment_id)) == 2


async def test_of_several_who_take_the_last_place_at_once_one_gets_it(harness: Harness) -> None:
    webhook = await harness.webhook()
    adding = [
        storage.webhooks.add(evolve(webhook, webhook_id=uuid4()), most=2)
        for storage in (harness.storage, harness.rival, harness.storage)
    ]
    outcomes = await asyncio.gather(*adding, return_exceptions=True)
    assert [type(one) for one in outcomes if one] == [TooManyWebhooks, TooManyWebhooks]


async def test_a_change_replaces_everything_and_is_counted(harness: Harness) -> None:
    webhook = await harness.webhook(**FULL)
    store = harness.storage.webhooks
    before = await store.webhooks_revision()
    blank = Webhook(
        webhook_id=webhook.webhook_id,
        environment_id=webhook.environment_id,
        name="b",
        url="https://b.example.com/",
        events=frozenset({"job-created"}),
        created_at=webhook.created_at,
        updated_at=harness.clock.now() + HOUR,
        version=2,
    )
    number = await store.replace(blank)
    assert await store.get(harness.environment_id, webhook.webhook_id) == blank
    assert number == await store.webhooks_revision() == before + 1


async def test_a_change_of_a_version_that_is_no_longer_there_is_refused(harness: Harness) -> None:
    webhook = await harness.webhook()
    changed = await harness.change(webhook, name="first")
    before = await harness.storage.webhooks.webhooks_revision()
    for version in (1, 2, 4):
        with pytest.raises(WebhookChanged):
            await harness.storage.webhooks.replace(evolve(changed, name="second", version=version))
    stored = await harness.storage.webhooks.get(harness.environment_id, webhook.webhook_id)
    assert stored == changed
    assert await harness.storage.webhooks.webhooks_revision() == before


async def test_of_two_changes_at_once_one_wins_and_the_other_is_told(harness: Harness) -> None:
    webhook = await harness.webhook()
    changes = [
        storage.webhooks.replace(evolve(webhook, name=name, version=2))
        for storage, name in ((harness.storage, "a"), (harness.rival, "b"))
    ]
    outcomes = await asyncio.gather(*changes, return_exceptions=True)
    assert [type(one) for one in outcomes if not isinstance(one, int)] == [WebhookChanged]


async def test_a_new_webhook_is_a_change_that_is_counted(harness: Harness) -> None:
    before = await harness.storage.webhooks.webhooks_revision()
    await harness.webhook()
    assert await harness.storage.webhooks.webhooks_revision() == before + 1


async def test_the_change_counter_is_seen_by_other_processes(harness: Harness) -> None:
    await harness.change(await harness.webhook())
    assert (
        await harness.rival.webhooks.webhooks_revision()
        == await harness.storage.webhooks.webhooks_revision()
    )


async def test_a_webhook_is_deleted_at_the_version_that_is_named_only(harness: Harness) -> None:
    webhook = await harness.webhook()
    changed = await harness.change(webhook, name="Other")
    store, now = harness.storage.webhooks, harness.clock.now()
    with pytest.raises(WebhookChanged):
        await store.delete(harness.environment_id, webhook.webhook_id, now, webhook.version)
    assert await store.get(harness.environment_id, webhook.webhook_id) == changed
    await store.delete(harness.environment_id, webhook.webhook_id, now, changed.version)
    with pytest.raises(WebhookNotFound):
        await store.delete(harness.environment_id, webhook.webhook_id, now, changed.version + 1)


async def test_a_deleted_webhook_is_gone_but_for_its_tombstone(harness: Harness) -> None:
    webhook = await harness.webhook(**FULL)
    store = harness.storage.webhooks
    await harness.clock.advance(5)
    before = await store.webhooks_revision()
    number = await store.delete(harness.environment_id, webhook.webhook_id, harness.clock.now())
    assert number == await store.webhooks_revision() == before + 1
    with pytest.raises(WebhookNotFound):
        await store.get(harness.environment_id, webhook.webhook_id)
    with pytest.raises(WebhookNotFound):
        await store.environment_of(webhook.webhook_id)
    with pytest.raises(WebhookNotFound):
        await store.delete(harness.environment_id, webhook.webhook_id, harness.clock.now())
    with pytest.raises(WebhookNotFound):
        await store.replace(evolve(webhook, version=3))
    assert list(await store.list(harness.environment_id)) == []
    tombstone = (await store.snapshot([webhook.webhook_id])).webhooks[webhook.webhook_id]
    assert tombstone.deleted_at == harness.clock.now()


async def test_deleting_cancels_all_that_is_being_attempted_and_a_batch_of_the_rest(
    harness: Harness,
) -> None:
    webhook, other = await harness.webhook(), await harness.webhook()
    event = harness.event()
    claimed = [harness.to(webhook, event, claimed=True) for _ in range(1500)]
    waiting = [harness.to(webhook, event) for _ in range(10)]
    neighbours = [harness.to(other, event, claimed=True), harness.to(other, event)]
    await harness.ingest([event], [*claimed, *waiting, *neighbours], harness.worker)
    await harness.storage.webhooks.delete(
        harness.environment_id, webhook.webhook_id, harness.clock.now()
    )
    for one in [*claimed[::100], *waiting]:
        stored = await harness.probe(one.delivery_id)
        assert (stored.state, stored.reason) == (DeliveryState.CANCELLED, EndReason.WEBHOOK_DELETED)
    assert (await harness.probe(claimed[0].delivery_id)).worker == harness.worker
    for one in neighbours:
        assert (await harness.probe(one.delivery_id)).state is DeliveryState.PENDING


async def test_deleting_leaves_what_has_ended_as_it_was(harness: Harness) -> None:
    webhook = await harness.webhook()
    claimed = await harness.begin(webhook)
    await harness.finish(claimed)
    before = await harness.probe(claimed.fence.delivery_id)
    await harness.storage.webhooks.delete(
        harness.environment_id, webhook.webhook_id, harness.clock.now()
    )
    assert await harness.probe(claimed.fence.delivery_id) == before


async def test_a_snapshot_shows_webhooks_of_any_environment_and_tombstones(
    harness: Harness,
) -> None:
    mine = await harness.webhook(**FULL)
    theirs = await harness.webhook(environment_id=harness.other_environment_id)
    await harness.webhook()
    wanted = [mine.webhook_id, theirs.webhook_id, uuid4()]
    snapshot = await harness.storage.webhooks.snapshot(wanted)
    assert snapshot.webhooks == {mine.webhook_id: mine, theirs.webhook_id: theirs}
    assert snapshot.webhooks_revision == await harness.storage.webhooks.webhooks_revision()
    assert (await harness.storage.webhooks.snapshot([])).webhooks == {}


class TestDisablingWhatFails:
    """``disable_failing``, an hour after the webhook was last well."""

    async def test_only_failures_for_long_enough_disable(self, harness: Harness) -> None:
        webhook = await harness.webhook()
        await harness.clock.advance(1)
        await _attempt(harness, webhook, AttemptOutcome.FAILED)
        since = harness.clock.now() + HOUR / 2
        await harness.clock.advance(HOUR.total_seconds())
        await _attempt(harness, webhook, AttemptOutcome.FAILED)
        before = await harness.storage.webhooks.webhooks_revision()
        assert await _disable(harness, webhook, since) is True
        now = harness.clock.now()
        stored = await harness.storage.webhooks.get(harness.environment_id, webhook.webhook_id)
        assert stored == evolve(
            webhook,
            disabled_until=FOREVER,
            disabled_reason=DisabledReason.FAILING,
            disabled_at=now,
            updated_at=now,
            version=2,
        )
        assert await harness.storage.webhooks.webhooks_revision() == before + 1
        assert await _disable(harness, webhook, since) is False

    @pytest.mark.parametrize(
        ("before", "after"),
        [
            ("", "F"),
            ("S", "F"),
            ("FS", "FF"),
            ("F", "FSF"),
            ("F", "SF"),
            ("F", "FS"),
            ("F", ""),
            ("F", "I"),
            ("I", "F"),
        ],
    )
    async def test_a_success_or_too_little_knowledge_keeps_a_webhook(
        self, harness: Harness, before: str, after: str
    ) -> None:
        assert await self._history(harness, before, after) is False

    @pytest.mark.parametrize(
        ("before", "after"), [("F", "F"), ("SF", "FFF"), ("FI", "IFI"), ("SFI", "F")]
    )
    async def test_failures_alone_disable_whatever_was_interrupted(
        self, harness: Harness, before: str, after: str
    ) -> None:
        assert await self._history(harness, before, after) is True

    async def test_a_webhook_that_was_changed_since_is_left_alone(self, harness: Harness) -> None:
        webhook = await harness.webhook()
        await _attempt(harness, webhook, AttemptOutcome.FAILED)
        since = harness.clock.now() + HOUR / 2
        await harness.clock.advance(HOUR.total_seconds())
        await _attempt(harness, webhook, AttemptOutcome.FAILED)
        await harness.change(webhook, name="mended")
        assert await _disable(harness, webhook, since) is False

    async def test_a_webhook_that_is_disabled_permanently_is_left_alone(
        self, harness: Harness
    ) -> None:
        webhook = await harness.webhook()
        await _attempt(harness, webhook, AttemptOutcome.FAILED)
        since = harness.clock.now() + HOUR
        gone = await harness.change(
            webhook, disabled_until=FOREVER, disabled_reason=DisabledReason.GONE
        )
        await harness.clock.advance(2 * HOUR.total_seconds())
        attempt = harness.result(await harness.hand_over(gone), Failed())
        await harness.storage.deliveries.finish([attempt], DELAY)
        assert await _disable(harness, webhook, since) is False
        stored = await harness.storage.webhooks.get(harness.environment_id, webhook.webhook_id)
        assert stored == gone

    async def test_a_neighbours_failures_do_not_count(self, harness: Harness) -> None:
        webhook, other = await harness.webhook(), await harness.webhook()
        await _attempt(harness, other, AttemptOutcome.FAILED)
        since = harness.clock.now() + HOUR / 2
        await harness.clock.advance(HOUR.total_seconds())
        await _attempt(harness, other, AttemptOutcome.FAILED)
        assert await _disable(harness, webhook, since) is False

    async def test_a_deleted_webhook_is_not_disabled(self, harness: Harness) -> None:
        webhook = await harness.webhook()
        await _attempt(harness, webhook, AttemptOutcome.FAILED)
        since = harness.clock.now() + HOUR / 2
        await harness.clock.advance(HOUR.total_seconds())
        await _attempt(harness, webhook, AttemptOutcome.FAILED)
        await harness.storage.webhooks.delete(harness.environment_id, webhook.webhook_id, since)
        assert await _disable(harness, webhook, since) is False

    async def _history(self, harness: Harness, before: str, after: str) -> bool:
        letters = {
            "F": AttemptOutcome.FAILED,
            "S": AttemptOutcome.SUCCEEDED,
            "I": AttemptOutcome.INTERRUPTED,
        }
        webhook = await harness.webhook()
        for letter in before:
            await _attempt(harness, webhook, letters[letter])
        since = harness.clock.now() + HOUR / 2
        await harness.clock.advance(HOUR.total_seconds())
        for letter in after:
            await _attempt(harness, webhook, letters[letter])
        return await _disable(harness, webhook, since)


async def _attempt(harness: Harness, webhook: Webhook, outcome: AttemptOutcome) -> None:
    """Make one more delivery of a webhook, with one attempt that ends so."""
    claimed = await harness.begin(webhook)
    next_step = Succeeded() if outcome is AttemptOutcome.SUCCEEDED else Failed()
    await harness.finish(claimed, next_step, outcome=outcome)
    await harness.clock.advance(DELAY.total_seconds())


async def _disable(harness: Harness, webhook: Webhook, since: datetime) -> bool:
    key = webhook.environment_id, webhook.webhook_id
    return await harness.storage.webhooks.disable_failing(*key, since, harness.clock.now())
