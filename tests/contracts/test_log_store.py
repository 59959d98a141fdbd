"""What a log store promises."""

from tests.contracts.world import World


async def test_a_page_shows_the_newest_first_and_goes_on_below(world: World) -> None:
    webhook = await world.webhook()
    logged = []
    for _ in range(7):
        logged.append((await world.finish(await world.begin(webhook))).attempt)
        await world.clock.advance(1)
    newest_first = logged[::-1]
    key = webhook.environment_id, webhook.webhook_id
    first = await world.storage.logs.page(*key, limit=3)
    assert list(first) == newest_first[:3]
    second = await world.storage.logs.page(*key, limit=3, before=first[-1].log_id)
    assert list(second) == newest_first[3:6]
    last = await world.storage.logs.page(*key, limit=3, before=second[-1].log_id)
    assert list(last) == newest_first[6:]
    assert list(await world.storage.logs.page(*key, limit=3, before=last[-1].log_id)) == []


async def test_a_log_is_its_webhooks_own(world: World) -> None:
    webhook, other = await world.webhook(), await world.webhook()
    await world.finish(await world.begin(other))
    assert list(await world.log(webhook)) == []


async def test_a_log_is_hidden_from_another_environment(world: World) -> None:
    webhook = await world.webhook()
    await world.finish(await world.begin(webhook))
    key = world.other_environment_id, webhook.webhook_id
    assert list(await world.storage.logs.page(*key, limit=10)) == []


async def test_the_log_of_a_deleted_webhook_can_be_read(world: World) -> None:
    webhook = await world.webhook()
    await world.finish(await world.begin(webhook))
    await world.storage.webhooks.delete(
        webhook.environment_id, webhook.webhook_id, world.clock.now()
    )
    assert len(await world.log(webhook)) == 1
