"""What the audit log promises: an entry is there if and only if its change was made."""

import os
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from uuid import UUID

import pytest
from attrs import evolve

from notification_core.errors import (
    AlreadyAnswered,
    ReplayNotFound,
    TooManyWebhooks,
    WebhookChanged,
    WebhookNotFound,
)
from notification_core.model.api_key import ApiKey, hash_api_key
from notification_core.model.caller import Scope
from notification_core.model.replay import Replay, Selection
from notification_core.model.request_records import AuditEntry, RequestRecords, StoredResponse
from notification_core.model.signing_key import new_signing_key
from tests.contracts.world import DELAY, World

Change = Callable[[World, RequestRecords], Awaitable[Any]]


def _entry(world: World, **changes: Any) -> AuditEntry:
    entry = AuditEntry(
        entry_id=world.ids(),
        environment_id=world.environment_id,
        at=world.clock.now(),
        actor="key:019ab5c0-1f3e-7a44-8d21-5c9e0a7b6d31",
        address="203.0.113.7",
        action="changeWebhook",
        subject="é",
        request_id="r",
    )
    return evolve(entry, **changes)


async def _log(world: World, environment_id: UUID | None) -> Sequence[AuditEntry]:
    return list(await world.rival.audit.page(environment_id, 1000))


async def create_a_webhook(world: World, kept: RequestRecords) -> None:
    webhook = await world.webhook()
    await world.storage.webhooks.add(evolve(webhook, webhook_id=world.ids()), 100, kept)


async def replace_a_webhook(world: World, kept: RequestRecords) -> None:
    webhook = await world.webhook()
    await world.storage.webhooks.replace(evolve(webhook, version=2), kept)


async def delete_a_webhook(world: World, kept: RequestRecords) -> None:
    webhook = await world.webhook()
    key = webhook.environment_id, webhook.webhook_id
    await world.storage.webhooks.delete(*key, world.clock.now(), None, kept)


async def rotate_a_key(world: World, kept: RequestRecords) -> None:
    now = world.clock.now()
    key = new_signing_key(world.environment_id, now, os.urandom(32), 1)
    await world.storage.signing_keys.rotate(key, now + DELAY, kept)


async def make_a_first_key(world: World, kept: RequestRecords) -> None:
    for each in (kept, [_entry(world)]):
        # The second one finds the key: there is nothing to tell of.
        key = new_signing_key(world.environment_id, world.clock.now(), os.urandom(32))
        await world.storage.signing_keys.add_first(key, each)


async def begin_a_replay(world: World, kept: RequestRecords) -> None:
    await world.storage.replays.add(_replay(world, (await world.webhook()).webhook_id), kept)


async def cancel_a_replay(world: World, kept: RequestRecords) -> None:
    replay = _replay(world, (await world.webhook()).webhook_id)
    await world.storage.replays.add(replay)
    key = replay.environment_id, replay.webhook_id, replay.replay_id
    await world.storage.replays.cancel(*key, world.clock.now(), kept)
    # Once it has ended there is nothing to tell of.
    await world.storage.replays.cancel(*key, world.clock.now(), [_entry(world)])


async def make_an_api_key(world: World, kept: RequestRecords) -> None:
    await world.storage.api_keys.add(_api_key(world), kept)


async def revoke_an_api_key(world: World, kept: RequestRecords) -> None:
    key = _api_key(world)
    await world.storage.api_keys.add(key)
    await world.storage.api_keys.revoke(key.key_id, world.clock.now(), kept)
    await world.storage.api_keys.revoke(key.key_id, world.clock.now(), [_entry(world)])


def _replay(world: World, webhook_id: UUID) -> Replay:
    now = world.clock.now()
    chosen = Selection(now - DELAY, now, frozenset())
    return Replay(world.ids(), world.environment_id, webhook_id, chosen, now)


def _api_key(world: World) -> ApiKey:
    digest, now = hash_api_key("whk_made_up"), world.clock.now()
    return ApiKey(world.ids(), "A key", Scope.READ, None, digest, now)


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
async def test_what_is_changed_is_told_with_the_change(world: World, change: Change) -> None:
    mine, theirs = _entry(world), _entry(world, environment_id=None)
    await change(world, [mine, theirs])
    assert await _log(world, world.environment_id) == [mine]
    assert await _log(world, None) == [theirs]
    assert await _log(world, world.other_environment_id) == []


async def test_what_is_not_changed_is_not_told_of(world: World) -> None:
    webhook = await world.webhook()
    key, nobody = (webhook.environment_id, webhook.webhook_id), world.ids()
    store, now = world.storage.webhooks, world.clock.now()
    kept = [_entry(world)]
    with pytest.raises(TooManyWebhooks):
        await store.add(evolve(webhook, webhook_id=world.ids()), 1, kept)
    with pytest.raises(WebhookChanged):
        await store.replace(evolve(webhook, version=7), kept)
    with pytest.raises(WebhookChanged):
        await store.delete(*key, now, 7, kept)
    with pytest.raises(WebhookNotFound):
        await store.delete(world.other_environment_id, webhook.webhook_id, now, None, kept)
    with pytest.raises(ReplayNotFound):
        await world.storage.replays.cancel(*key, nobody, now, kept)
    assert await _log(world, world.environment_id) == []


async def test_what_was_answered_already_is_not_told_of_again(world: World) -> None:
    answer = StoredResponse(world.environment_id, "create", "asked", b"", world.clock.now())
    first, again = _entry(world), _entry(world)
    await create_a_webhook(world, [answer, first])
    with pytest.raises(AlreadyAnswered):
        await create_a_webhook(world, [answer, again])
    assert await _log(world, world.environment_id) == [first]


async def test_pages_go_from_the_newest_to_the_oldest(world: World) -> None:
    entries = [_entry(world, subject=f"{number}") for number in range(5)]
    await make_an_api_key(world, entries)
    page = await world.storage.audit.page(world.environment_id, 2)
    assert list(page) == [entries[4], entries[3]]
    rest = await world.storage.audit.page(world.environment_id, 10, page[-1].entry_id)
    assert list(rest) == [entries[2], entries[1], entries[0]]
