"""What a key store promises."""

import asyncio
import os
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import pytest
from attrs import evolve

from notification_core.errors import KeysChanged
from notification_core.model.signing_key import SigningKey, new_signing_key
from tests.contracts.world import World

HOUR = timedelta(hours=1)


def _key(world: World, environment_id: UUID | None = None, number: int = 1) -> SigningKey:
    return new_signing_key(
        environment_id or world.environment_id, world.clock.now(), os.urandom(32), number
    )


async def _keys(world: World) -> Sequence[SigningKey]:
    return await world.rival.signing_keys.keys_of([world.environment_id])


async def test_the_first_key_stays_and_comes_back_whole(world: World) -> None:
    first = evolve(
        _key(world),
        not_before=world.clock.now() + timedelta(microseconds=1),
        expires_at=world.clock.now() + timedelta(days=9),
    )
    assert list(await world.storage.signing_keys.add_first(first)) == [first]
    assert list(await world.storage.signing_keys.add_first(_key(world))) == [first]
    assert list(await world.rival.signing_keys.keys_of([world.environment_id])) == [first]


async def test_of_two_first_keys_at_once_one_wins_and_both_callers_get_it(world: World) -> None:
    told = await asyncio.gather(
        *(
            storage.signing_keys.add_first(_key(world))
            for storage in (world.storage, world.rival) * 5
        )
    )
    assert {key.key_id for keys in told for key in keys} == {told[0][0].key_id}
    assert len(await world.storage.signing_keys.keys_of([world.environment_id])) == 1


async def test_keys_are_their_environments_own(world: World) -> None:
    mine, theirs = _key(world), _key(world, world.other_environment_id)
    await world.storage.signing_keys.add_first(mine)
    assert list(await world.storage.signing_keys.add_first(theirs)) == [theirs]
    assert list(await world.storage.signing_keys.keys_of([world.environment_id])) == [mine]
    both = await world.storage.signing_keys.keys_of(
        [world.environment_id, world.other_environment_id]
    )
    assert {key.key_id for key in both} == {mine.key_id, theirs.key_id}
    assert list(await world.storage.signing_keys.keys_of([])) == []


async def test_a_key_that_was_read_signs_as_it_did(world: World) -> None:
    key = _key(world)
    await world.storage.signing_keys.add_first(key)
    (read,) = await world.rival.signing_keys.keys_of([world.environment_id])
    assert read.private_key.sign(b"x") == key.private_key.sign(b"x")


async def test_with_a_rotation_the_other_keys_end_and_the_newest_comes_first(world: World) -> None:
    now = world.clock.now()
    first, second = _key(world), _key(world, number=2)
    await world.storage.signing_keys.add_first(first)
    await world.storage.signing_keys.rotate(second, others_expire_at=now + HOUR)
    assert list(await _keys(world)) == [second, evolve(first, expires_at=now + HOUR)]


async def test_a_key_that_ends_sooner_is_not_trusted_for_longer(world: World) -> None:
    now = world.clock.now()
    await world.storage.signing_keys.add_first(_key(world))
    await world.storage.signing_keys.rotate(_key(world, number=2), others_expire_at=now + HOUR)
    await world.storage.signing_keys.rotate(_key(world, number=3), others_expire_at=now + 2 * HOUR)
    ends = [key.expires_at for key in await _keys(world)]
    assert ends == [None, now + 2 * HOUR, now + HOUR]


async def test_keys_that_nobody_trusts_any_more_are_forgotten(world: World) -> None:
    await world.storage.signing_keys.add_first(_key(world))
    soon = world.clock.now() + HOUR
    await world.storage.signing_keys.rotate(_key(world, number=2), others_expire_at=soon)
    await world.clock.advance(HOUR.total_seconds())
    await world.storage.signing_keys.rotate(_key(world, number=3), others_expire_at=soon + HOUR)
    assert [key.number for key in await _keys(world)] == [3, 2]


async def test_of_several_rotations_at_once_one_wins_and_the_others_change_nothing(
    world: World,
) -> None:
    now = world.clock.now()
    await world.storage.signing_keys.add_first(_key(world))
    told = await asyncio.gather(
        *(
            storage.signing_keys.rotate(_key(world, number=2), others_expire_at=now + HOUR * hours)
            for hours, storage in enumerate((world.storage, world.rival) * 3)
        ),
        return_exceptions=True,
    )
    (winner,) = [hours for hours, outcome in enumerate(told) if outcome is None]
    assert all(isinstance(each, KeysChanged) for each in told if each is not None)
    newest, oldest = await _keys(world)
    assert (newest.number, newest.expires_at) == (2, None)
    assert oldest.expires_at == now + HOUR * winner


async def test_a_rotation_leaves_the_keys_of_other_environments_alone(world: World) -> None:
    theirs = _key(world, world.other_environment_id)
    await world.storage.signing_keys.add_first(theirs)
    await world.storage.signing_keys.add_first(_key(world))
    await world.storage.signing_keys.rotate(
        _key(world, number=2), others_expire_at=world.clock.now()
    )
    assert list(await world.storage.signing_keys.keys_of([world.other_environment_id])) == [theirs]


async def test_a_number_that_is_taken_is_not_given_twice(world: World) -> None:
    first = _key(world)
    await world.storage.signing_keys.add_first(first)
    with pytest.raises(KeysChanged):
        await world.storage.signing_keys.rotate(_key(world), others_expire_at=world.clock.now())
    assert list(await _keys(world)) == [first]
