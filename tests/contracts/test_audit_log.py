"""What the audit log promises: an entry is there if and only if its change was made."""

import os
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from uuid import UUID

import pytest
from attrs import evolve

from notification_core.errors import (
    ReplayNotFound,
    ResponseAlreadyStored,
    TooManyWebhooks,
    WebhookChanged,
    WebhookNotFound,
)
from notification_core.model.api_key import ApiKey, hash_api_key
from notification_core.model.caller import Scope
from notification_core.model.replay import Replay, Selection
from notification_core.model.request_records import AuditEntry, RequestRecords, StoredResponse
from notification_core.model.signing_key import new_signing_key
from tests.contracts.harness import DELAY, Harness

Change = Callable[[Harness, RequestRecords], Awaitable[Any]]


def _entry(harness: Harness, **changes: Any) -> AuditEntry:
    entry = AuditEntry(
        entry_id=harness.ids(),
        environment_id=harness.environment_id,
        at=harness.clock.now(),
        actor="key:019ab5c0-1f3e-7a44-8d21-5c9e0a7b6d31",
        address="203.0.113.7",
        action="changeWebhook",
        subject="é",
        request_id="r",
    )
    return evolve(entry, **changes)


async def _log(harness: Harness, environment_id: UUID | None) -> Sequence[AuditEntry]:
    return list(await harness.rival.audit.page(environment_id, 1000))


async def create_a_webhook(harness: Harness, records: RequestRecords) -> None:
    webhook = await harness.webhook()
    await harness.storage.webhooks.add(evolve(webhook, webhook_id=harness.ids()), 100, records)


async def replace_a_webhook(harness: Harness, records: RequestRecords) -> None:
    webhook = await harness.webhook()
    await harness.storage.webhooks.replace(evolve(webhook, version=2), records)


async def delete_a_webhook(harness: Harness, records: RequestRecords) -> None:
    webhook = await harness.webhook()
    key = webhook.environment_id, webhook.webhook_id
    await harness.storage.webhooks.delete(*key, harness.clock.now(), None, records)


async def rotate_a_key(harness: Harness, records: RequestRecords) -> None:
    now = harness.clock.now()
    key = new_signing_key(harness.environment_id, now, os.urandom(32), 1)
    await harness.storage.signing_keys.rotate(key, now + DELAY, records)


async def make_a_first_key(harness: Harness, records: RequestRecords) -> None:
    for each in (records, [_entry(harness)]):
        # The second one finds the key: there is nothing to tell of.
        key = new_signing_key(harness.environment_id, harness.clock.now(), os.urandom(32))
        await harness.storage.signing_keys.add_first(key, each)


async def begin_a_replay(harness: Harness, records: RequestRecords) -> None:
    await harness.storage.replays.add(
        _replay(harness, (await harness.webhook()).webhook_id), records
    )


async def cancel_a_replay(harness: Harness, records: RequestRecords) -> None:
    replay = _replay(harness, (await harness.webhook()).webhook_id)
    await harness.storage.replays.add(replay)
    key = replay.environment_id, replay.webhook_id, replay.replay_id
    await harness.storage.replays.cancel(*key, harness.clock.now(), records)
    # Once it has ended there is nothing to tell of.
    await harness.storage.replays.cancel(*key, harness.clock.now(), [_entry(harness)])


async def make_an_api_key(harness: Harness, records: RequestRecords) -> None:
    await harness.storage.api_keys.add(_api_key(harness), records)


async def revoke_an_api_key(harness: Harness, records: RequestRecords) -> None:
    key = _api_key(harness)
    await harness.storage.api_keys.add(key)
    await harness.storage.api_keys.revoke(key.key_id, harness.clock.now(), records)
    await harness.storage.api_keys.revoke(key.key_id, harness.clock.now(), [_entry(harness)])


def _replay(harness: Harness, webhook_id: UUID) -> Replay:
    now = harness.clock.now()
    chosen = Selection(now - DELAY, now, frozenset())
    return Replay(harness.ids(), harness.environment_id, webhook_id, chosen, now)


def _api_key(harness: Harness) -> ApiKey:
    digest, now = hash_api_key("whk_made_up"), harness.clock.now()
    return ApiKey(harness.ids(), "A key", Scope.READ, None, digest, now)


CHANGES = [
    create_a_webhook,
    replace_a_webhook,
    delete_a_webhook,
    make_a_first_key,
    rotate_a_key,
    begin_a_replay,
    cancel_a_replay,
    make_an_api_key,
    revoke_an_api_key,
]


@pytest.mark.parametrize("change", CHANGES)
async def test_what_is_changed_is_told_with_the_change(harness: Harness, change: Change) -> None:
    mine, theirs = _entry(harness), _entry(harness, environment_id=None)
    await change(harness, [mine, theirs])
    assert await _log(harness, harness.environment_id) == [mine]
    assert await _log(harness, None) == [theirs]
    assert await _log(harness, harness.other_environment_id) == []


async def test_what_is_not_changed_is_not_told_of(harness: Harness) -> None:
    webhook = await harness.webhook()
    key, nobody = (webhook.environment_id, webhook.webhook_id), harness.ids()
    store, now = harness.storage.webhooks, harness.clock.now()
    records = [_entry(harness)]
    with pytest.raises(TooManyWebhooks):
        await store.add(evolve(webhook, webhook_id=harness.ids()), 1, records)
    with pytest.raises(WebhookChanged):
        await store.replace(evolve(webhook, version=7), records)
    with pytest.raises(WebhookChanged):
        await store.delete(*key, now, 7, records)
    with pytest.raises(WebhookNotFound):
        await store.delete(harness.other_environment_id, webhook.webhook_id, now, None, records)
    with pytest.raises(ReplayNotFound):
        await harness.storage.replays.cancel(*key, nobody, now, records)
    assert await _log(harness, harness.environment_id) == []


async def test_what_was_answered_already_is_not_told_of_again(harness: Harness) -> None:
    response = StoredResponse(harness.environment_id, "create", "asked", b"", harness.clock.now())
    first, again = _entry(harness), _entry(harness)
    await create_a_webhook(harness, [response, first])
    with pytest.raises(ResponseAlreadyStored):
        await create_a_webhook(harness, [response, again])
    assert await _log(harness, harness.environment_id) == [first]


async def test_pages_go_from_the_newest_to_the_oldest(harness: Harness) -> None:
    entries = [_entry(harness, subject=f"{number}") for number in range(5)]
    await make_an_api_key(harness, entries)
    page = await harness.storage.audit.page(harness.environment_id, 2)
    assert list(page) == [entries[4], entries[3]]
    rest = await harness.storage.audit.page(harness.environment_id, 10, page[-1].entry_id)
    assert list(rest) == [entries[2], entries[1], entries[0]]
