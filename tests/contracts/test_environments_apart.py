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
from notification_adapters.sql.tables import SCHEMA
from notification_core import ports
from notification_core.errors import EventGone
from notification_core.model.delivery import Failed
from notification_core.model.portal_session import PortalSession
from notification_core.model.read_models import DeliveryView
from notification_core.model.replay import NOT_ARRIVED, Replay, ReplayCount, Selection
from notification_core.model.request_records import KEPT_FOR, AuditEntry, StoredResponse
from notification_core.model.signing_key import new_signing_key
from notification_core.model.statistics import BucketSize, Period
from notification_core.model.webhook import Webhook
from tests.contracts.harness import Harness
from tests.support.samples import a_portal_session

OF_NO_STORE = {
    ("EnvironmentDirectory", "exists"),
    ("IngestTransaction", "take_operational_events"),
    ("Observer", "event_conflicted"),
}
"""These ask the platform, are told, or say whose events are made; no rows are behind them."""


@frozen
class Furnished:
    """Something of everything, in the first environment."""

    webhook: Webhook
    delivery: DeliveryView
    replay: Replay
    response: StoredResponse
    session: PortalSession


async def _furnish(harness: Harness) -> Furnished:
    store, now = harness.storage, harness.clock.now()
    entry = AuditEntry(harness.ids(), now, "anna", "::1", "x", "y", "z", harness.environment_id)
    response = StoredResponse(harness.environment_id, "asked", "x", b"answer", now)
    webhook = await harness.webhook()
    await store.signing_keys.add_first(new_signing_key(harness.environment_id, now, os.urandom(32)))
    claimed = await harness.hand_over(webhook)
    await harness.finish(claimed, Failed())
    await harness.publish(webhook)
    chosen = Selection(now - timedelta(days=1), now + timedelta(days=1), frozenset(NOT_ARRIVED))
    replay = Replay(harness.ids(), harness.environment_id, webhook.webhook_id, chosen, now)
    await store.replays.add(replay, [entry, response])
    delivery = await store.history.delivery(harness.environment_id, claimed.fence.delivery_id)
    session = a_portal_session(harness.ids(), harness.environment_id, now)
    await store.portal_sessions.add(session)
    return Furnished(webhook, delivery, replay, response, session)


Question = Callable[[Harness, Furnished], Awaitable[object]]


def _the_last_day(harness: Harness) -> Period:
    now = harness.clock.now()
    return Period.covering(now - timedelta(days=1), now, BucketSize.HOUR)


async def _subscriptions(harness: Harness, _: Furnished) -> object:
    async with harness.storage.deliveries.ingesting() as transaction:
        return await transaction.subscriptions([harness.other_environment_id])


async def _advance(harness: Harness, _: Furnished) -> object:
    theirs = harness.other_environment_id
    await harness.storage.erasures.begin(theirs, harness.clock.now())
    erased = 0
    while not (batch := await harness.storage.erasures.advance(theirs, 100)).is_last:
        erased += batch.erased
    return erased


async def _begin(harness: Harness, _: Furnished) -> object:
    erasure, _revision = await harness.storage.erasures.begin(
        harness.other_environment_id, harness.clock.now()
    )
    return erasure.environment_id == harness.environment_id


async def _changed_mark(harness: Harness, _: Furnished) -> object:
    since = harness.clock.now() - timedelta(days=1)
    nobodys = await harness.storage.changes.mark(harness.ids(), since)
    return await harness.storage.changes.mark(harness.other_environment_id, since) != nobodys


async def _disable_failing(harness: Harness, mine: Furnished) -> object:
    await harness.clock.advance(timedelta(days=6).total_seconds())
    now = harness.clock.now()
    since = now - timedelta(days=5)
    key = harness.other_environment_id, mine.webhook.webhook_id
    return await harness.storage.webhooks.disable_failing(*key, since, now)


QUESTIONS: Mapping[tuple[str, str], Question] = {
    ("AuditLog", "page"): lambda harness, _: harness.storage.audit.page(
        harness.other_environment_id, 9
    ),
    ("IngestTransaction", "subscriptions"): _subscriptions,
    ("EnvironmentChanges", "mark"): _changed_mark,
    ("ErasureStore", "begin"): _begin,
    ("ErasureStore", "get"): lambda harness, _: harness.storage.erasures.get(
        harness.other_environment_id
    ),
    ("ErasureStore", "advance"): _advance,
    ("History", "delivery"): lambda harness, mine: harness.storage.history.delivery(
        harness.other_environment_id, mine.delivery.delivery_id
    ),
    ("History", "of_webhook"): lambda harness, mine: harness.storage.history.of_webhook(
        harness.other_environment_id, mine.webhook.webhook_id, 9
    ),
    ("History", "event"): lambda harness, mine: harness.storage.history.event(
        harness.other_environment_id, mine.delivery.event_id
    ),
    ("History", "of_event"): lambda harness, mine: harness.storage.history.of_event(
        harness.other_environment_id, mine.delivery.event_id, 9
    ),
    ("History", "events"): lambda harness, _: harness.storage.history.events(
        harness.other_environment_id, 9
    ),
    ("History", "body"): lambda harness, mine: harness.storage.history.body(
        harness.other_environment_id, mine.delivery.event_id
    ),
    ("History", "bodies"): lambda harness, mine: harness.storage.history.bodies(
        harness.other_environment_id, mine.webhook.events, 9
    ),
    ("IdempotencyStore", "find"): lambda harness, mine: harness.storage.idempotency.find(
        harness.other_environment_id, mine.response.request, harness.clock.now() - KEPT_FOR
    ),
    ("SigningKeyStore", "keys_of"): lambda harness, _: harness.storage.signing_keys.keys_of(
        [harness.other_environment_id]
    ),
    ("LogStore", "page"): lambda harness, mine: harness.storage.logs.page(
        harness.other_environment_id, mine.webhook.webhook_id, 9
    ),
    ("LogStore", "webhooks"): lambda harness, mine: harness.storage.logs.webhooks(
        harness.other_environment_id, mine.webhook.webhook_id
    ),
    ("PortalSessionStore", "find"): lambda harness, mine: harness.storage.portal_sessions.find(
        harness.other_environment_id, mine.session.session_id
    ),
    ("PortalSessionStore", "page"): lambda harness, _: harness.storage.portal_sessions.page(
        harness.other_environment_id, harness.clock.now(), 9
    ),
    ("PortalSessionStore", "change"): lambda harness, mine: harness.storage.portal_sessions.change(
        harness.other_environment_id,
        mine.session.session_id,
        lambda session: evolve(session, code_digest=None),
    ),
    ("PortalSessionStore", "delete"): lambda harness, mine: harness.storage.portal_sessions.delete(
        harness.other_environment_id, mine.session.session_id
    ),
    ("ReplayStore", "get"): lambda harness, mine: harness.storage.replays.get(
        harness.other_environment_id, mine.webhook.webhook_id, mine.replay.replay_id
    ),
    ("ReplayStore", "of_webhook"): lambda harness, mine: harness.storage.replays.of_webhook(
        harness.other_environment_id, mine.webhook.webhook_id, 9
    ),
    ("ReplayStore", "cancel"): lambda harness, mine: harness.storage.replays.cancel(
        harness.other_environment_id,
        mine.webhook.webhook_id,
        mine.replay.replay_id,
        harness.clock.now(),
    ),
    ("ReplayStore", "count"): lambda harness, mine: harness.storage.replays.count(
        harness.other_environment_id, mine.webhook.webhook_id, mine.replay.selection, 9
    ),
    ("WebhookStore", "list"): lambda harness, _: harness.storage.webhooks.list(
        harness.other_environment_id
    ),
    ("WebhookStore", "get"): lambda harness, mine: harness.storage.webhooks.get(
        harness.other_environment_id, mine.webhook.webhook_id
    ),
    ("WebhookStore", "delete"): lambda harness, mine: harness.storage.webhooks.delete(
        harness.other_environment_id, mine.webhook.webhook_id, harness.clock.now()
    ),
    ("WebhookStore", "disable_failing"): _disable_failing,
    ("WebhookStore", "change_signing_secrets"): lambda harness, mine: (
        harness.storage.webhooks.change_signing_secrets(
            harness.other_environment_id, mine.webhook.webhook_id, lambda _: ()
        )
    ),
    ("StatisticsStore", "read"): lambda harness, mine: harness.storage.statistics.read(
        harness.other_environment_id, mine.webhook.webhook_id, _the_last_day(harness)
    ),
    ("StatisticsStore", "summarize"): lambda harness, mine: harness.storage.statistics.summarize(
        harness.other_environment_id, [mine.webhook.webhook_id], _the_last_day(harness)
    ),
}

DISGUISES: Mapping[str, Question] = {
    "replacing a webhook as another environment's": lambda harness, mine: (
        harness.storage.webhooks.replace(
            evolve(mine.webhook, environment_id=harness.other_environment_id, version=2)
        )
    ),
    "retrying a delivery as another environment's": lambda harness, mine: (
        harness.storage.replays.retry(
            evolve(mine.delivery, environment_id=harness.other_environment_id), harness.ids()
        )
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


async def _mine(harness: Harness, mine: Furnished) -> Sequence[object]:
    """Return all that is stored of the first environment."""
    if isinstance(harness.storage, SqlStorage):
        return await _rows(harness)
    key = harness.environment_id, mine.webhook.webhook_id
    store = harness.storage
    return [
        await store.webhooks.get(*key),
        await store.history.of_webhook(*key, 100),
        await store.logs.page(*key, 100),
        await store.replays.get(*key, mine.replay.replay_id),
        await store.signing_keys.keys_of([key[0]]),
        await store.audit.page(key[0], 100),
        await store.portal_sessions.page(key[0], mine.session.created_at, 100),
    ]


async def _rows(harness: Harness) -> Sequence[object]:
    assert isinstance(harness.storage, SqlStorage)
    found: list[object] = []
    async with harness.storage.database.read_transaction() as connection:
        for table in SCHEMA.sorted_tables:
            if "environment_id" in table.c:
                its = sa.select(table).where(table.c.environment_id == harness.environment_id)
                found += sorted(map(repr, await connection.execute(its)))
    return found


async def _told(question: Question, harness: Harness, mine: Furnished) -> object:
    """Return what a question was answered, nothing if it raised that there is nothing."""
    with suppress(LookupError, EventGone):
        response: Any = await question(harness, mine)
        return (
            response.count
            if isinstance(response, ReplayCount)
            else getattr(response, "rows", response)
        )
    return None


@pytest.mark.parametrize(
    "question", [*QUESTIONS.values(), *DISGUISES.values()], ids=[*map(str, QUESTIONS), *DISGUISES]
)
async def test_as_another_environment_nothing_is_told_and_nothing_touched(
    harness: Harness, question: Question
) -> None:
    mine = await _furnish(harness)
    before = await _mine(harness, mine)
    assert not await _told(question, harness, mine)
    assert await _mine(harness, mine) == before
