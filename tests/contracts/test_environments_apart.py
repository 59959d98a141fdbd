"""Two environments: asked for one, no store tells or touches anything of the other.

Every method of every port that takes an environment is asked as the wrong one. A method that is
added without its question here fails the first test.
"""

import inspect
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

import pytest
import sqlalchemy as sa
from attrs import evolve, frozen

from notification_adapters.sql import SqlStorage
from notification_adapters.sql.tables import metadata
from notification_core import ports
from notification_core.errors import EventGone
from notification_core.model.delivery import Failed
from notification_core.model.read_models import DeliveryView
from notification_core.model.replay import NOT_ARRIVED, Replay, ReplayCount, Selection
from notification_core.model.request_records import KEPT_FOR, AuditEntry, StoredResponse
from notification_core.model.signing_key import new_signing_key
from notification_core.model.webhook import Webhook
from tests.contracts.world import World

OF_NO_STORE = {("EnvironmentDirectory", "exists"), ("Observer", "event_conflicted")}
"""These ask the platform, or are told; no rows are behind them."""


@frozen
class Furnished:
    """Something of everything, in the first environment."""

    webhook: Webhook
    delivery: DeliveryView
    replay: Replay
    answer: StoredResponse


async def _furnish(world: World) -> Furnished:
    store, now = world.storage, world.clock.now()
    entry = AuditEntry(world.ids(), now, "anna", "::1", "x", "y", "z", world.environment_id)
    answer = StoredResponse(world.environment_id, "asked", "x", b"answer", now)
    webhook = await world.webhook()
    await store.signing_keys.add_first(new_signing_key(world.environment_id, now, os.urandom(32)))
    begun = await world.hand_over(webhook)
    await world.finish(begun, Failed())
    await world.publish(webhook)
    chosen = Selection(now - timedelta(days=1), now + timedelta(days=1), frozenset(NOT_ARRIVED))
    replay = Replay(world.ids(), world.environment_id, webhook.webhook_id, chosen, now)
    await store.replays.add(replay, [entry, answer])
    delivery = await store.history.delivery(world.environment_id, begun.fence.delivery_id)
    return Furnished(webhook, delivery, replay, answer)


Question = Callable[[World, Furnished], Awaitable[object]]


async def _subscriptions(world: World, _: Furnished) -> object:
    async with world.storage.deliveries.ingesting() as transaction:
        return await transaction.subscriptions([world.other_environment_id])


async def _advance(world: World, _: Furnished) -> object:
    theirs = world.other_environment_id
    await world.storage.erasures.begin(theirs, world.clock.now())
    erased = 0
    while not (batch := await world.storage.erasures.advance(theirs, 100)).is_last:
        erased += batch.erased
    return erased


async def _begin(world: World, _: Furnished) -> object:
    erasure, _changes = await world.storage.erasures.begin(
        world.other_environment_id, world.clock.now()
    )
    return erasure.environment_id == world.environment_id


async def _disable_failing(world: World, mine: Furnished) -> object:
    await world.clock.advance(timedelta(days=6).total_seconds())
    now = world.clock.now()
    since = now - timedelta(days=5)
    key = world.other_environment_id, mine.webhook.webhook_id
    return await world.storage.webhooks.disable_failing(*key, since, now)


QUESTIONS: Mapping[tuple[str, str], Question] = {
    ("AuditLog", "page"): lambda world, _: world.storage.audit.page(world.other_environment_id, 9),
    ("IngestTransaction", "subscriptions"): _subscriptions,
    ("ErasureStore", "begin"): _begin,
    ("ErasureStore", "get"): lambda world, _: world.storage.erasures.get(
        world.other_environment_id
    ),
    ("ErasureStore", "advance"): _advance,
    ("History", "delivery"): lambda world, mine: world.storage.history.delivery(
        world.other_environment_id, mine.delivery.delivery_id
    ),
    ("History", "of_webhook"): lambda world, mine: world.storage.history.of_webhook(
        world.other_environment_id, mine.webhook.webhook_id, 9
    ),
    ("History", "event"): lambda world, mine: world.storage.history.event(
        world.other_environment_id, mine.delivery.event_id
    ),
    ("History", "of_event"): lambda world, mine: world.storage.history.of_event(
        world.other_environment_id, mine.delivery.event_id, 9
    ),
    ("History", "events"): lambda world, _: world.storage.history.events(
        world.other_environment_id, 9
    ),
    ("IdempotencyStore", "find"): lambda world, mine: world.storage.idempotency.find(
        world.other_environment_id, mine.answer.request, world.clock.now() - KEPT_FOR
    ),
    ("KeyStore", "keys_of"): lambda world, _: world.storage.signing_keys.keys_of(
        [world.other_environment_id]
    ),
    ("LogStore", "page"): lambda world, mine: world.storage.logs.page(
        world.other_environment_id, mine.webhook.webhook_id, 9
    ),
    ("LogStore", "activity"): lambda world, mine: world.storage.logs.activity(
        world.other_environment_id, mine.webhook.webhook_id
    ),
    ("ReplayStore", "get"): lambda world, mine: world.storage.replays.get(
        world.other_environment_id, mine.webhook.webhook_id, mine.replay.replay_id
    ),
    ("ReplayStore", "of_webhook"): lambda world, mine: world.storage.replays.of_webhook(
        world.other_environment_id, mine.webhook.webhook_id, 9
    ),
    ("ReplayStore", "cancel"): lambda world, mine: world.storage.replays.cancel(
        world.other_environment_id,
        mine.webhook.webhook_id,
        mine.replay.replay_id,
        world.clock.now(),
    ),
    ("ReplayStore", "count"): lambda world, mine: world.storage.replays.count(
        world.other_environment_id, mine.webhook.webhook_id, mine.replay.selection, 9
    ),
    ("WebhookStore", "list"): lambda world, _: world.storage.webhooks.list(
        world.other_environment_id
    ),
    ("WebhookStore", "get"): lambda world, mine: world.storage.webhooks.get(
        world.other_environment_id, mine.webhook.webhook_id
    ),
    ("WebhookStore", "delete"): lambda world, mine: world.storage.webhooks.delete(
        world.other_environment_id, mine.webhook.webhook_id, world.clock.now()
    ),
    ("WebhookStore", "disable_failing"): _disable_failing,
}

DISGUISES: Mapping[str, Question] = {
    "replacing a webhook as another environment's": lambda world, mine: (
        world.storage.webhooks.replace(
            evolve(mine.webhook, environment_id=world.other_environment_id, version=2)
        )
    ),
    "retrying a delivery as another environment's": lambda world, mine: world.storage.replays.retry(
        evolve(mine.delivery, environment_id=world.other_environment_id), world.ids()
    ),
}
"""Values that say themselves whose they are."""


def test_every_method_that_takes_an_environment_is_asked() -> None:
    found = {
        (port, name)
        for module in iter_modules(ports.__path__)
        for port, methods in inspect.getmembers(
            import_module(f"{ports.__name__}.{module.name}"), inspect.isclass
        )
        for name, method in vars(methods).items()
        if inspect.isfunction(method)
        and getattr(method, "__isabstractmethod__", False)
        and any("environment" in one for one in inspect.signature(method).parameters)
    }
    assert found - OF_NO_STORE == set(QUESTIONS)


async def _mine(world: World, mine: Furnished) -> Sequence[object]:
    """Return all that is stored of the first environment."""
    if isinstance(world.storage, SqlStorage):
        return await _rows(world)
    key = world.environment_id, mine.webhook.webhook_id
    store = world.storage
    return [
        await store.webhooks.get(*key),
        await store.history.of_webhook(*key, 100),
        await store.logs.page(*key, 100),
        await store.replays.get(*key, mine.replay.replay_id),
        await store.signing_keys.keys_of([key[0]]),
        await store.audit.page(key[0], 100),
    ]


async def _rows(world: World) -> Sequence[object]:
    assert isinstance(world.storage, SqlStorage)
    found: list[object] = []
    async with world.storage.database.read_transaction() as connection:
        for table in metadata.sorted_tables:
            if "environment_id" in table.c:
                its = sa.select(table).where(table.c.environment_id == world.environment_id)
                found += sorted(map(repr, await connection.execute(its)))
    return found


async def _told(question: Question, world: World, mine: Furnished) -> object:
    """Return what a question was answered, nothing where it raised that there is nothing."""
    with suppress(LookupError, EventGone):
        answer: Any = await question(world, mine)
        return answer.count if isinstance(answer, ReplayCount) else getattr(answer, "rows", answer)
    return None


@pytest.mark.parametrize(
    "question", [*QUESTIONS.values(), *DISGUISES.values()], ids=[*map(str, QUESTIONS), *DISGUISES]
)
async def test_as_another_environment_nothing_is_told_and_nothing_touched(
    world: World, question: Question
) -> None:
    mine = await _furnish(world)
    before = await _mine(world, mine)
    assert not await _told(question, world, mine)
    assert await _mine(world, mine) == before
