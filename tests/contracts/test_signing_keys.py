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
from tests.contracts.harness import Harness

HOUR = timedelta(hours=1)


def _key(harness: Harness, environment_id: UUID | None = None, number: int = 1) -> SigningKey:
    return new_signing_key(
        environment_id or harness.environment_id, harness.clock.now(), os.urandom(32), number
    )


async def _keys(harness: Harness) -> Sequence[SigningKey]:
    return await harness.rival.signing_keys.keys_of([harness.environment_id])


async def test_the_first_key_stays_and_comes_back_whole(harness: Harness) -> None:
    first = evolve(
        _key(harness),
        not_before=harness.clock.now() + timedelta(microseconds=1),
        expires_at=harness.clock.now() + timedelta(days=9),
    )
    assert list(await harness.storage.signing_keys.add_first(first)) == [first]
    assert list(await harness.storage.signing_keys.add_first(_key(harness))) == [first]
    assert list(await harness.rival.signing_keys.keys_of([harness.environment_id])) == [first]


async def test_of_two_first_keys_at_once_one_wins_and_both_callers_get_it(harness: Harness) -> None:
    told = await asyncio.gather(
        *(
            storage.signing_keys.add_first(_key(harness))
            for storage in (harness.storage, harness.rival) * 5
        )
    )
    assert {key.key_id for keys in told for key in keys} == {told[0][0].key_id}
    assert len(await harness.storage.signing_keys.keys_of([harness.environment_id])) == 1


async def test_keys_are_their_environments_own(harness: Harness) -> None:
    mine, theirs = _key(harness), _key(harness, harness.other_environment_id)
    await harness.storage.signing_keys.add_first(mine)
    assert list(await harness.storage.signing_keys.add_first(theirs)) == [theirs]
    assert list(await harness.storage.signing_keys.keys_of([harness.environment_id])) == [mine]
    both = await harness.storage.signing_keys.keys_of(
        [harness.environment_id, harness.other_environment_id]
    )
    assert {key.key_id for key in both} == {mine.key_id, theirs.key_id}
    assert list(await harness.storage.signing_keys.keys_of([])) == []


async def test_a_key_that_was_read_signs_as_it_did(harness: Harness) -> None:
    key = _key(harness)
    await harness.storage.signing_keys.add_first(key)
    (read,) = await harness.rival.signing_keys.keys_of([harness.environment_id])
    assert read.private_key.sign(b"x") == key.private_key.sign(b"x")


async def test_with_a_rotation_the_other_keys_end_and_the_newest_comes_first(
    harness: Harness,
) -> None:
    now = harness.clock.now()
    first, second = _key(harness), _key(harness, number=2)
    await harness.storage.signing_keys.add_first(first)
    await harness.storage.signing_keys.rotate(second, others_expire_at=now + HOUR)
    assert list(await _keys(harness)) == [second, evolve(first, expires_at=now + HOUR)]


async def test_a_key_that_ends_sooner_is_not_trusted_for_longer(harness: Harness) -> None:
    now = harness.clock.now()
    await harness.storage.signing_keys.add_first(_key(harness))
    await harness.storage.signing_keys.rotate(_key(harness, number=2), others_expire_at=now + HOUR)
    await harness.storage.signing_keys.rotate(
        _key(harness, number=3), others_expire_at=now + 2 * HOUR
    )
    ends = [key.expires_at for key in await _keys(harness)]
    assert ends == [None, now + 2 * HOUR, now + HOUR]


async def test_keys_that_nobody_trusts_any_more_are_forgotten(harness: Harness) -> None:
    await harness.storage.signing_keys.add_first(_key(harness))
    soon = harness.clock.now() + HOUR
    await harness.storage.signing_keys.rotate(_key(harness, number=2), others_expire_at=soon)
    await harness.clock.advance(HOUR.total_seconds())
    await harness.storage.signing_keys.rotate(_key(harness, number=3), others_expire_at=soon + HOUR)
    assert [key.number for key in await _keys(harness)] == [3, 2]


async def test_of_several_rotations_at_once_one_wins_and_the_others_change_nothing(
    harness: Harness,
) -> None:
    now = harness.clock.now()
    await harness.storage.signing_keys.add_first(_key(harness))
    told = await asyncio.gather(
        *(
            storage.signing_keys.rotate(
                _key(harness, number=2), others_expire_at=now + HOUR * hours
            )
            for hours, storage in enumerate((harness.storage, harness.rival) * 3)
        ),
        return_exceptions=True,
    )
    (winner,) = [hours for hours, outcome in enumerate(told) if outcome is None]
    assert all(isinstance(each, KeysChanged) for each in told if each is not None)
    newest, oldest = await _keys(harness)
    assert (newest.number, newest.expires_at) == (2, None)
    assert oldest.expires_at == now + HOUR * winner


async def test_a_rotation_leaves_the_keys_of_other_environments_alone(harness: Harness) -> None:
    theirs = _key(harness, harness.other_environment_id)
    await harness.storage.signing_keys.add_first(theirs)
    await harness.storage.signing_keys.add_first(_key(harness))
    await harness.storage.signing_keys.rotate(
        _key(harness, number=2), others_expire_at=harness.clock.now()
    )
    assert list(await harness.storage.signing_keys.keys_of([harness.other_environment_id])) == [
        theirs
    ]


async def test_a_number_that_is_taken_is_not_given_twice(harness: Harness) -> None:
    first = _key(harness)
    await harness.storage.signing_keys.add_first(first)
    with pytest.raises(KeysChanged):
        await harness.storage.signing_keys.rotate(
            _key(harness), others_expire_at=harness.clock.now()
        )
    assert list(await _keys(harness)) == [first]
