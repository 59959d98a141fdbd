"""What a store of API keys promises."""

from datetime import timedelta
from typing import Any

import pytest
from attrs import evolve

from notification_core.errors import ApiKeyNotFound
from notification_core.model.api_key import ApiKey, hash_api_key
from notification_core.model.caller import Scope
from tests.contracts.world import World


def _key(world: World, **changes: Any) -> ApiKey:
    key = ApiKey(
        key_id=world.ids(),
        name="Platform, é",
        scope=Scope.WRITE,
        environments=None,
        digest=hash_api_key("whk_made_up"),
        created_at=world.clock.now(),
    )
    return evolve(key, **changes)


async def test_a_key_comes_back_whole(world: World) -> None:
    soon = world.clock.now() + timedelta(microseconds=1)
    both = frozenset({world.environment_id, world.other_environment_id})
    keys = _key(world), _key(world, environments=both, expires_at=soon, scope=Scope.READ)
    for key in keys:
        await world.storage.api_keys.add(key)
        assert await world.rival.api_keys.find(key.key_id) == key


async def test_a_key_that_is_not_there_is_an_error(world: World) -> None:
    await world.storage.api_keys.add(_key(world))
    nobody = world.ids()
    with pytest.raises(ApiKeyNotFound, match=str(nobody)):
        await world.storage.api_keys.find(nobody)
    with pytest.raises(ApiKeyNotFound, match=str(nobody)):
        await world.storage.api_keys.revoke(nobody, world.clock.now())


async def test_pages_go_from_the_newest_to_the_oldest(world: World) -> None:
    keys = [_key(world, name=f"{number}") for number in range(5)]
    for key in keys:
        await world.storage.api_keys.add(key)
    first = await world.storage.api_keys.page(2)
    assert list(first) == [keys[4], keys[3]]
    rest = await world.rival.api_keys.page(10, before=first[-1].key_id)
    assert list(rest) == [keys[2], keys[1], keys[0]]
    assert list(await world.storage.api_keys.page(10, before=keys[0].key_id)) == []


async def test_a_key_is_revoked_once_and_for_good(world: World) -> None:
    key, other = _key(world), _key(world)
    for each in (key, other):
        await world.storage.api_keys.add(each)
    at = world.clock.now()
    revoked = await world.storage.api_keys.revoke(key.key_id, at)
    assert revoked == evolve(key, revoked_at=at)
    later = at + timedelta(days=1)
    assert await world.rival.api_keys.revoke(key.key_id, later) == revoked
    assert await world.rival.api_keys.find(key.key_id) == revoked
    assert await world.rival.api_keys.find(other.key_id) == other
