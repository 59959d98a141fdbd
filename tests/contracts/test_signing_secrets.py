"""What a store promises of webhooks' signing secrets."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import pytest
from attrs import evolve

from notification_core.errors import WebhookNotFound
from notification_core.model.request_records import KEPT_FOR, StoredResponse
from notification_core.model.signing_secret import SigningSecret, with_new_secret
from notification_core.model.webhook import Webhook
from tests.contracts.harness import Harness


def a_secret(harness: Harness, number: int) -> SigningSecret:
    return SigningSecret(UUID(int=number), bytes([number]) * 40, harness.clock.now())


async def add(harness: Harness, webhook: Webhook, number: int) -> SigningSecret:
    new = a_secret(harness, number)
    await harness.storage.webhooks.change_signing_secrets(
        webhook.environment_id, webhook.webhook_id, lambda stored: with_new_secret(stored, new)
    )
    return new


async def read(harness: Harness, webhook: Webhook) -> Webhook:
    return await harness.storage.webhooks.get(webhook.environment_id, webhook.webhook_id)


async def test_secrets_come_back_as_they_were_stored_and_nothing_else_changes(
    harness: Harness,
) -> None:
    webhook, other = await harness.webhook(), await harness.webhook()
    revision = await harness.storage.webhooks.webhooks_revision()
    first = await add(harness, webhook, 1)
    await harness.clock.advance(1.000001)
    second = await add(harness, webhook, 2)
    until = second.created_at + timedelta(hours=24)
    expected = evolve(webhook, signing_secrets=(second, evolve(first, expires_at=until)))
    assert await read(harness, webhook) == expected
    snapshot = await harness.storage.webhooks.snapshot([webhook.webhook_id])
    assert snapshot.webhooks[webhook.webhook_id] == expected
    assert snapshot.webhooks_revision == revision + 2
    assert await read(harness, other) == other


async def test_a_claim_and_an_event_see_the_secrets(harness: Harness) -> None:
    webhook = await harness.webhook()
    await harness.publish(webhook)
    new = await add(harness, webhook, 1)
    claimed = await harness.claim()
    assert claimed.webhooks[webhook.webhook_id].signing_secrets == (new,)


async def test_whoever_replaces_a_webhook_that_was_read_before_leaves_the_secrets(
    harness: Harness,
) -> None:
    webhook = await harness.webhook(custom_headers={"X-One": "1"})
    new = await add(harness, webhook, 1)
    await harness.change(webhook, name="Other")
    changed = await read(harness, webhook)
    assert (changed.name, changed.signing_secrets) == ("Other", (new,))


async def test_of_changes_at_the_same_time_none_is_lost(harness: Harness) -> None:
    webhook = await harness.webhook()
    store = harness.storage.webhooks

    async def append(number: int) -> None:
        new = a_secret(harness, number)
        await store.change_signing_secrets(
            webhook.environment_id, webhook.webhook_id, lambda stored: (*stored, new)
        )

    await asyncio.gather(*map(append, range(10)), harness.change(webhook, name="Other"))
    secrets = (await read(harness, webhook)).signing_secrets
    assert {secret.secret_id.int for secret in secrets} == {*range(10)}


async def test_what_a_change_raises_undoes_it(harness: Harness) -> None:
    webhook = await harness.webhook()
    await add(harness, webhook, 1)
    revision = await harness.storage.webhooks.webhooks_revision()
    now = harness.clock.now()
    record = StoredResponse(webhook.environment_id, "r", "f", b"answer", now)

    def refuse(_: Sequence[SigningSecret]) -> Sequence[SigningSecret]:
        raise LookupError

    with pytest.raises(LookupError):
        await harness.storage.webhooks.change_signing_secrets(
            webhook.environment_id, webhook.webhook_id, refuse, [record]
        )
    assert len((await read(harness, webhook)).signing_secrets) == 1
    assert await harness.storage.webhooks.webhooks_revision() == revision
    kept = await harness.storage.idempotency.find(webhook.environment_id, "r", now - KEPT_FOR)
    assert kept is None


async def test_a_webhook_of_another_environment_or_a_deleted_one_is_not_found(
    harness: Harness,
) -> None:
    webhook = await harness.webhook()
    store = harness.storage.webhooks
    with pytest.raises(WebhookNotFound):
        await store.change_signing_secrets(
            harness.other_environment_id, webhook.webhook_id, lambda _: ()
        )
    await store.delete(webhook.environment_id, webhook.webhook_id, harness.clock.now())
    with pytest.raises(WebhookNotFound):
        await store.change_signing_secrets(webhook.environment_id, webhook.webhook_id, lambda _: ())
