"""Rotating keys: published before they sign, trusted for a while after, and at once if need be."""

import asyncio
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notification_adapters.memory.environments import MemoryEnvironmentDirectory
from notification_core.errors import (
    EnvironmentBeingErased,
    EnvironmentNotFound,
    KeysChanged,
    RotationTooSoon,
)
from notification_core.model.signing_key import MAX_SIGNING_KEYS
from notification_core.signing.key_cache import FRESH_FOR
from notification_core.signing.rotation import EMERGENCY_TRUSTED_AFTER
from tests.support.assembly import MemoryApp
from tests.support.samples import ENVIRONMENT

MINUTE, HOUR = 60.0, 3600.0


async def published(app: MemoryApp) -> list[tuple[int, str]]:
    """Return the numbers and states of the keys that are published."""
    trusted = await app.signing_keys.published(ENVIRONMENT)
    return [(each.key.number, each.status.value) for each in trusted]


async def signing(app: MemoryApp) -> list[int]:
    """Return the numbers of the keys that a process signs by."""
    return [key.number for key in await app.key_cache.get(ENVIRONMENT)]


async def test_a_new_key_is_published_at_once_signs_after_an_hour_and_the_old_one_ends_a_day_later(
    app: MemoryApp,
) -> None:
    assert await signing(app) == [1]
    made = await app.signing_keys.rotate(ENVIRONMENT)
    assert (made.key.number, made.status) == (2, "pending")
    assert await published(app) == [(1, "active"), (2, "pending")]
    assert await signing(app) == [1]
    await app.clock.advance(HOUR)
    assert await published(app) == [(2, "active"), (1, "retiring")]
    assert await signing(app) == [2, 1]
    await app.clock.advance(24 * HOUR)
    assert await published(app) == [(2, "active")]
    assert await signing(app) == [2]


async def test_what_another_process_rotated_is_published_at_once(app: MemoryApp) -> None:
    other = app.another_process()
    assert await published(other) == [(1, "active")]
    await app.signing_keys.rotate(ENVIRONMENT)
    assert await published(other) == [(1, "active"), (2, "pending")]


async def test_no_key_is_made_for_an_environment_that_does_not_exist() -> None:
    nobodys = MemoryApp(directory=MemoryEnvironmentDirectory())
    for ask in (nobodys.signing_keys.published, nobodys.signing_keys.rotate):
        with pytest.raises(EnvironmentNotFound):
            await ask(ENVIRONMENT)
    assert not nobodys.storage.state.keys


async def test_in_an_emergency_the_new_key_signs_at_once_and_no_other_is_trusted_for_long(
    app: MemoryApp,
) -> None:
    assert await signing(app) == [1]
    made = await app.signing_keys.rotate(ENVIRONMENT, emergency=True)
    assert made.status == "active"
    assert await signing(app) == [2, 1]
    assert await published(app) == [(2, "active"), (1, "retiring")]
    await app.clock.advance(MINUTE)
    assert await published(app) == [(2, "active")]


async def test_another_process_signs_by_an_emergencys_key_before_the_old_one_ends(
    app: MemoryApp,
) -> None:
    other = app.another_process()
    assert await signing(other) == [1]
    await app.signing_keys.rotate(ENVIRONMENT, emergency=True)
    await app.clock.advance(FRESH_FOR.total_seconds())
    assert await signing(other) == [2, 1]
    assert FRESH_FOR * 2 <= EMERGENCY_TRUSTED_AFTER


async def test_a_rotation_while_a_key_is_pending_is_refused_until_it_signs(app: MemoryApp) -> None:
    await app.signing_keys.rotate(ENVIRONMENT)
    with pytest.raises(RotationTooSoon, match="2026-01-01T01:00:00"):
        await app.signing_keys.rotate(ENVIRONMENT)
    assert await published(app) == [(1, "active"), (2, "pending")]
    await app.clock.advance(HOUR)
    await app.signing_keys.rotate(ENVIRONMENT)
    assert await published(app) == [(2, "active"), (1, "retiring"), (3, "pending")]


async def test_a_rotation_that_would_have_four_keys_sign_is_refused_until_it_would_not(
    app: MemoryApp,
) -> None:
    for _ in range(2):
        await app.signing_keys.rotate(ENVIRONMENT)
        await app.clock.advance(HOUR)
    with pytest.raises(RotationTooSoon, match="2026-01-02T00:00:00"):
        await app.signing_keys.rotate(ENVIRONMENT)
    await app.clock.advance(22 * HOUR)
    await app.signing_keys.rotate(ENVIRONMENT)
    await app.clock.advance(HOUR)
    assert await published(app) == [(4, "active"), (3, "retiring"), (2, "retiring")]


async def test_an_emergency_is_never_refused_and_ends_a_pending_key_too(app: MemoryApp) -> None:
    await app.signing_keys.rotate(ENVIRONMENT)
    await app.clock.advance(HOUR - 1)
    await app.signing_keys.rotate(ENVIRONMENT, emergency=True)
    await app.clock.advance(1)
    assert await published(app) == [(3, "active"), (2, "retiring"), (1, "retiring")]
    await app.clock.advance(MINUTE)
    assert await published(app) == [(3, "active")]


async def test_of_two_rotations_at_once_one_is_made(app: MemoryApp) -> None:
    results = await asyncio.gather(
        *(app.signing_keys.rotate(ENVIRONMENT) for _ in range(2)), return_exceptions=True
    )
    assert sorted(type(result).__name__ for result in results) == ["RotationTooSoon", "TrustedKey"]
    assert await published(app) == [(1, "active"), (2, "pending")]


async def test_of_two_emergencies_at_once_both_are_made(app: MemoryApp) -> None:
    await asyncio.gather(*(app.signing_keys.rotate(ENVIRONMENT, emergency=True) for _ in range(2)))
    assert (await published(app))[0] == (3, "active")


async def test_whoever_is_overtaken_for_ever_is_told_so(app: MemoryApp) -> None:
    app.faults.errors["rotate"] = KeysChanged(ENVIRONMENT)
    with pytest.raises(KeysChanged):
        await app.signing_keys.rotate(ENVIRONMENT)
    assert 1 < app.faults.calls["rotate"] < 10


STEPS = st.lists(
    st.tuples(st.sampled_from([0.0, 1.0, MINUTE, HOUR, 23 * HOUR]), st.booleans()), max_size=12
)


@given(STEPS)
def test_what_signs_is_always_published_and_the_first_key_is_always_there(
    steps: list[tuple[float, bool]],
) -> None:
    async def rotate_and_look() -> None:
        app = MemoryApp()
        for pause, emergency in steps:
            trusted = [number for number, status in await published(app) if status != "pending"]
            signed_by = await signing(app)
            assert signed_by[0] in trusted
            assert len(signed_by) <= MAX_SIGNING_KEYS
            try:
                await app.signing_keys.rotate(ENVIRONMENT, emergency=emergency)
            except RotationTooSoon:
                assert not emergency
            await app.clock.advance(pause)

    asyncio.run(rotate_and_look())


def test_the_times_are_those_that_were_promised() -> None:
    assert timedelta(minutes=1) == EMERGENCY_TRUSTED_AFTER


async def test_no_key_is_made_for_an_environment_that_is_being_erased(app: MemoryApp) -> None:
    await app.signing_keys.published(ENVIRONMENT)
    await app.storage.erasures.begin(ENVIRONMENT, app.clock.now())
    assert await published(app) == [(1, "active")]
    with pytest.raises(EnvironmentBeingErased):
        await app.signing_keys.rotate(ENVIRONMENT, emergency=True)
    app.storage.state.keys.clear()
    with pytest.raises(EnvironmentBeingErased):
        await app.signing_keys.published(ENVIRONMENT)
    assert not app.storage.state.keys
