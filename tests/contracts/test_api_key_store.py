"""What a store of API keys promises."""

from datetime import timedelta
from typing import Any

import pytest
from attrs import evolve

from notification_core.errors import ApiKeyNotFound
from notification_core.model.api_key import ApiKey, hash_api_key
from notification_core.model.caller import Scope
from tests.contracts.harness import Harness


def _key(harness: Harness, **changes: Any) -> ApiKey:
    key = ApiKey(
        key_id=harness.ids(),
        name="Platform, é",
        scope=Scope.WRITE,
        environments=None,
        digest=hash_api_key("whk_made_up"),
        created_at=harness.clock.now(),
    )
    return evolve(key, **changes)


async def test_a_key_comes_back_whole(harness: Harness) -> None:
    soon = harness.clock.now() + timedelta(microseconds=1)
    both = frozenset({harness.environment_id, harness.other_environment_id})
    keys = _key(harness), _key(harness, environments=both, expires_at=soon, scope=Scope.READ)
    for key in keys:
        await harness.storage.api_keys.add(key)
        assert await harness.rival.api_keys.find(key.key_id) == key


async def test_a_key_that_is_not_there_is_an_error(harness: Harness) -> None:
    await harness.storage.api_keys.add(_key(harness))
    nobody = harness.ids()
    with pytest.raises(ApiKeyNotFound, match=str(nobody)):
        await harness.storage.api_keys.find(nobody)
    with pytest.raises(ApiKeyNotFound, match=str(nobody)):
        await harness.storage.api_keys.revoke(nobody, harness.clock.now())


async def test_pages_go_from_the_newest_to_the_oldest(harness: Harness) -> None:
    keys = [_key(harness, name=f"{number}") for number in range(5)]
    for key in keys:
        await harness.storage.api_keys.add(key)
    first = await harness.storage.api_keys.page(2)
    assert list(first) == [keys[4], keys[3]]
    rest = await harness.rival.api_keys.page(10, before=first[-1].key_id)
    assert list(rest) == [keys[2], keys[1], keys[0]]
    assert list(await harness.storage.api_keys.page(10, before=keys[0].key_id)) == []


async def test_a_key_is_revoked_once_and_permanently(harness: Harness) -> None:
    key, other = _key(harness), _key(harness)
    for each in (key, other):
        await harness.storage.api_keys.add(each)
    at = harness.clock.now()
    revoked = await harness.storage.api_keys.revoke(key.key_id, at)
    assert revoked == evolve(key, revoked_at=at)
    later = at + timedelta(days=1)
    assert await harness.rival.api_keys.revoke(key.key_id, later) == revoked
    assert await harness.rival.api_keys.find(key.key_id) == revoked
    assert await harness.rival.api_keys.find(other.key_id) == other
