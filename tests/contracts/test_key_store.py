"""What a key store promises."""

import asyncio
import os
from datetime import timedelta
from uuid import UUID

from attrs import evolve

from notification_core.keys import KeyStatus, SigningKey, new_signing_key
from tests.contracts.world import World


def _key(world: World, environment_id: UUID | None = None) -> SigningKey:
    return new_signing_key(
        environment_id or world.environment_id, world.clock.now(), os.urandom(32)
    )


async def test_the_first_key_stays_and_comes_back_whole(world: World) -> None:
    first = evolve(
        _key(world),
        not_before=world.clock.now() + timedelta(microseconds=1),
        expires_at=world.clock.now() + timedelta(days=9),
    )
    assert list(await world.storage.keys.add_first(first)) == [first]
    assert list(await world.storage.keys.add_first(_key(world))) == [first]
    assert list(await world.rival.keys.keys_of([world.environment_id])) == [first]


async def test_a_key_that_is_not_active_is_a_key_all_the_same(world: World) -> None:
    retiring = evolve(_key(world), status=KeyStatus.RETIRING)
    await world.storage.keys.add_first(retiring)
    assert list(await world.storage.keys.add_first(_key(world))) == [retiring]


async def test_of_two_first_keys_at_once_one_wins_and_both_callers_get_it(world: World) -> None:
    told = await asyncio.gather(
        *(storage.keys.add_first(_key(world)) for storage in (world.storage, world.rival) * 5)
    )
    assert {key.key_id for keys in told for key in keys} == {told[0][0].key_id}
    assert len(await world.storage.keys.keys_of([world.environment_id])) == 1


async def test_keys_are_their_environments_own(world: World) -> None:
    mine, theirs = _key(world), _key(world, world.other_environment_id)
    await world.storage.keys.add_first(mine)
    assert list(await world.storage.keys.add_first(theirs)) == [theirs]
    assert list(await world.storage.keys.keys_of([world.environment_id])) == [mine]
    both = await world.storage.keys.keys_of([world.environment_id, world.other_environment_id])
    assert {key.key_id for key in both} == {mine.key_id, theirs.key_id}
    assert list(await world.storage.keys.keys_of([])) == []


async def test_a_key_that_was_read_signs_as_it_did(world: World) -> None:
    key = _key(world)
    await world.storage.keys.add_first(key)
    (read,) = await world.rival.keys.keys_of([world.environment_id])
    assert read.private_key.sign(b"x") == key.private_key.sign(b"x")
