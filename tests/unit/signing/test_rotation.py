"""Rotating keys: published before they sign, trusted for a while after, and at once if need be."""

import asyncio
from datetime import timedelta
from itertools import count

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from notification_adapters.memory import ManualClock, MemoryStorage, memory_storage
from notification_adapters.memory.environments import MemoryEnvironmentDirectory
from notification_adapters.null_objects import EveryEnvironment
from notification_core.concurrency.ids import IdGenerator
from notification_core.environments.directory import Environments
from notification_core.errors import (
    EnvironmentBeingErased,
    EnvironmentNotFound,
    KeysChanged,
    RotationTooSoon,
)
from notification_core.model.signing_key import MAX_SIGNING_KEYS
from notification_core.signing.key_cache import FRESH_FOR, SigningKeyCache
from notification_core.signing.rotation import EMERGENCY_TRUSTED_AFTER, SigningKeyService
from tests.support.faulty_stores import Faults, FaultyKeys
from tests.support.samples import ENVIRONMENT

MINUTE, HOUR = 60.0, 3600.0


@attrs.define
class World:
    """A rotation on a key store in memory."""

    clock: ManualClock
    storage: MemoryStorage
    trouble: Faults
    keyring: SigningKeyCache
    published: SigningKeyService

    async def standing(self) -> list[tuple[int, str]]:
        """Return the numbers and states of the keys that are published."""
        trusted = await self.published.published(ENVIRONMENT)
        return [(each.key.number, each.status.value) for each in trusted]

    async def signing(self) -> list[int]:
        """Return the numbers of the keys that a process signs by."""
        return [key.number for key in await self.keyring.keys(ENVIRONMENT)]


def a_world() -> World:
    clock, trouble, numbers = ManualClock(), Faults(), count(1)
    storage = memory_storage(clock, IdGenerator(clock))
    keys = FaultyKeys(storage.keys, trouble)

    def new_seed() -> bytes:
        return next(numbers).to_bytes(32, "big")

    keyring = SigningKeyCache(keys, clock, new_seed)
    environments = Environments(EveryEnvironment(), storage.erasures, clock)
    published = SigningKeyService(keys, keyring, environments, clock, new_seed)
    return World(clock, storage, trouble, keyring, published)


@pytest.fixture
def world() -> World:
    return a_world()


async def test_a_new_key_is_published_at_once_signs_after_an_hour_and_the_old_one_ends_a_day_later(
    world: World,
) -> None:
    assert await world.signing() == [1]
    made = await world.published.rotate(ENVIRONMENT)
    assert (made.key.number, made.status) == (2, "pending")
    assert await world.standing() == [(1, "active"), (2, "pending")]
    assert await world.signing() == [1]
    await world.clock.advance(HOUR)
    assert await world.standing() == [(2, "active"), (1, "retiring")]
    assert await world.signing() == [2, 1]
    await world.clock.advance(24 * HOUR)
    assert await world.standing() == [(2, "active")]
    assert await world.signing() == [2]


async def test_what_another_process_rotated_is_published_at_once(world: World) -> None:
    elsewhere = SigningKeyCache(world.storage.keys, world.clock, lambda: b"x" * 32)
    environments = Environments(EveryEnvironment(), world.storage.erasures, world.clock)
    other = SigningKeyService(
        world.storage.keys, elsewhere, environments, world.clock, lambda: b"y" * 32
    )
    assert [each.key.number for each in await other.published(ENVIRONMENT)] == [1]
    await world.published.rotate(ENVIRONMENT)
    assert [each.key.number for each in await other.published(ENVIRONMENT)] == [1, 2]


async def test_no_key_is_made_for_an_environment_that_does_not_exist(world: World) -> None:
    environments = Environments(MemoryEnvironmentDirectory(), world.storage.erasures, world.clock)
    nobodys = SigningKeyService(
        world.storage.keys, world.keyring, environments, world.clock, lambda: b"x" * 32
    )
    for ask in (nobodys.published, nobodys.rotate):
        with pytest.raises(EnvironmentNotFound):
            await ask(ENVIRONMENT)
    assert not world.storage.state.keys


async def test_in_an_emergency_the_new_key_signs_at_once_and_no_other_is_trusted_for_long(
    world: World,
) -> None:
    assert await world.signing() == [1]
    made = await world.published.rotate(ENVIRONMENT, emergency=True)
    assert made.status == "active"
    assert await world.signing() == [2, 1]
    assert await world.standing() == [(2, "active"), (1, "retiring")]
    await world.clock.advance(MINUTE)
    assert await world.standing() == [(2, "active")]


async def test_another_process_signs_by_an_emergencys_key_before_the_old_one_ends(
    world: World,
) -> None:
    elsewhere = SigningKeyCache(world.storage.keys, world.clock, lambda: b"x" * 32)
    assert [key.number for key in await elsewhere.keys(ENVIRONMENT)] == [1]
    await world.published.rotate(ENVIRONMENT, emergency=True)
    await world.clock.advance(FRESH_FOR.total_seconds())
    assert [key.number for key in await elsewhere.keys(ENVIRONMENT)] == [2, 1]
    assert FRESH_FOR * 2 <= EMERGENCY_TRUSTED_AFTER


async def test_a_rotation_while_a_key_is_pending_is_refused_until_it_signs(world: World) -> None:
    await world.published.rotate(ENVIRONMENT)
    with pytest.raises(RotationTooSoon, match="2026-01-01T01:00:00"):
        await world.published.rotate(ENVIRONMENT)
    assert await world.standing() == [(1, "active"), (2, "pending")]
    await world.clock.advance(HOUR)
    await world.published.rotate(ENVIRONMENT)
    assert await world.standing() == [(2, "active"), (1, "retiring"), (3, "pending")]


async def test_a_rotation_that_would_have_four_keys_sign_is_refused_until_it_would_not(
    world: World,
) -> None:
    for _ in range(2):
        await world.published.rotate(ENVIRONMENT)
        await world.clock.advance(HOUR)
    with pytest.raises(RotationTooSoon, match="2026-01-02T00:00:00"):
        await world.published.rotate(ENVIRONMENT)
    await world.clock.advance(22 * HOUR)
    await world.published.rotate(ENVIRONMENT)
    await world.clock.advance(HOUR)
    assert await world.standing() == [(4, "active"), (3, "retiring"), (2, "retiring")]


async def test_an_emergency_is_never_refused_and_ends_a_pending_key_too(world: World) -> None:
    await world.published.rotate(ENVIRONMENT)
    await world.clock.advance(HOUR - 1)
    await world.published.rotate(ENVIRONMENT, emergency=True)
    await world.clock.advance(1)
    assert await world.standing() == [(3, "active"), (2, "retiring"), (1, "retiring")]
    await world.clock.advance(MINUTE)
    assert await world.standing() == [(3, "active")]


async def test_of_two_rotations_at_once_one_is_made(world: World) -> None:
    told = await asyncio.gather(
        *(world.published.rotate(ENVIRONMENT) for _ in range(2)), return_exceptions=True
    )
    assert sorted(type(each).__name__ for each in told) == ["RotationTooSoon", "TrustedKey"]
    assert await world.standing() == [(1, "active"), (2, "pending")]


async def test_of_two_emergencies_at_once_both_are_made(world: World) -> None:
    await asyncio.gather(*(world.published.rotate(ENVIRONMENT, emergency=True) for _ in range(2)))
    assert (await world.standing())[0] == (3, "active")


async def test_whoever_is_overtaken_for_ever_is_told_so(world: World) -> None:
    world.trouble.errors["rotate"] = KeysChanged(ENVIRONMENT)
    with pytest.raises(KeysChanged):
        await world.published.rotate(ENVIRONMENT)
    assert 1 < world.trouble.calls["rotate"] < 10


STEPS = st.lists(
    st.tuples(st.sampled_from([0.0, 1.0, MINUTE, HOUR, 23 * HOUR]), st.booleans()), max_size=12
)


@given(STEPS)
def test_what_signs_is_always_published_and_the_first_key_is_always_there(
    steps: list[tuple[float, bool]],
) -> None:
    async def rotate_and_look() -> None:
        world = a_world()
        for pause, emergency in steps:
            published = [number for number, status in await world.standing() if status != "pending"]
            assert (await world.signing())[0] in published
            assert len(await world.signing()) <= MAX_SIGNING_KEYS
            try:
                await world.published.rotate(ENVIRONMENT, emergency=emergency)
            except RotationTooSoon:
                assert not emergency
            await world.clock.advance(pause)

    asyncio.run(rotate_and_look())


def test_the_times_are_those_that_were_promised() -> None:
    assert timedelta(minutes=1) == EMERGENCY_TRUSTED_AFTER


async def test_no_key_is_made_for_an_environment_that_is_being_erased(world: World) -> None:
    await world.published.published(ENVIRONMENT)
    await world.storage.erasures.begin(ENVIRONMENT, world.clock.now())
    assert await world.standing() == [(1, "active")]
    with pytest.raises(EnvironmentBeingErased):
        await world.published.rotate(ENVIRONMENT, emergency=True)
    world.storage.state.keys.clear()
    with pytest.raises(EnvironmentBeingErased):
        await world.published.published(ENVIRONMENT)
    assert not world.storage.state.keys
