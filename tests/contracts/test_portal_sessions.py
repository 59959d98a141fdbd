"""What a store of portal sessions promises."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from attrs import evolve

from notification_core.errors import PortalCodeRefused, PortalSessionNotFound
from notification_core.model.caller import Scope
from notification_core.model.portal_session import PortalSession, exchange_code
from notification_core.model.request_records import AuditEntry
from notification_core.model.session_token import hash_token
from tests.contracts.harness import Harness

CODE, TOKEN = "the-code", "the-token"


async def _add(harness: Harness, **changes: Any) -> PortalSession:
    now = harness.clock.now()
    session = PortalSession(
        session_id=harness.ids(),
        environment_id=harness.environment_id,
        scope=Scope.WRITE,
        name="Anna, é",
        created_at=now,
        expires_at=now + timedelta(hours=1),
        code_digest=hash_token(CODE),
    )
    session = evolve(session, **changes)
    await harness.storage.portal_sessions.add(session)
    return session


def _entry(harness: Harness) -> AuditEntry:
    now = harness.clock.now()
    return AuditEntry(harness.ids(), now, "anna", "::1", "x", "y", "z", harness.environment_id)


async def _audited(harness: Harness) -> int:
    return len(await harness.storage.audit.page(harness.environment_id, 9))


async def test_a_session_comes_back_whole(harness: Harness) -> None:
    exchanged = {"code_digest": None, "token_digest": hash_token(TOKEN)}
    for session in (
        await _add(harness),
        await _add(harness, scope=Scope.READ, name=None, **exchanged),
    ):
        found = harness.rival.portal_sessions.find(session.environment_id, session.session_id)
        assert await found == session


async def test_a_page_has_the_newest_first_and_none_that_has_expired(harness: Harness) -> None:
    now = harness.clock.now()
    sessions = [await _add(harness, name=f"{number}") for number in range(3)]
    await _add(harness, expires_at=now)
    await _add(harness, environment_id=harness.other_environment_id)
    store = harness.rival.portal_sessions
    first = await store.page(harness.environment_id, now, 2)
    assert list(first) == [sessions[2], sessions[1]]
    rest = await store.page(harness.environment_id, now, 9, before=first[-1].session_id)
    assert list(rest) == [sessions[0]]


async def test_a_code_that_several_exchange_at_once_opens_one_session(harness: Harness) -> None:
    session = await _add(harness)
    key, now = (session.environment_id, session.session_id), harness.clock.now()

    async def exchange(number: int) -> PortalSession:
        storage = harness.storage if number % 2 else harness.rival
        return await storage.portal_sessions.change(
            *key, lambda stored: exchange_code(stored, CODE, f"{TOKEN}{number}", now)
        )

    outcomes = await asyncio.gather(*map(exchange, range(8)), return_exceptions=True)
    refused = [one for one in outcomes if isinstance(one, PortalCodeRefused)]
    (opened,) = [one for one in outcomes if isinstance(one, PortalSession)]
    assert len(refused) == 7
    assert await harness.storage.portal_sessions.find(*key) == opened
    assert opened.token_digest in {hash_token(f"{TOKEN}{number}") for number in range(8)}


async def test_a_change_that_is_refused_changes_nothing(harness: Harness) -> None:
    session = await _add(harness)
    key, now = (session.environment_id, session.session_id), harness.clock.now()
    with pytest.raises(PortalCodeRefused):
        await harness.storage.portal_sessions.change(
            *key, lambda stored: exchange_code(stored, "another-code", TOKEN, now)
        )
    assert await harness.rival.portal_sessions.find(*key) == session


async def test_a_deleted_session_is_gone_and_that_is_recorded_once(harness: Harness) -> None:
    session, other = await _add(harness), await _add(harness)
    key, store = (session.environment_id, session.session_id), harness.storage.portal_sessions
    await store.delete(*key, [_entry(harness)])
    for operation in (
        harness.rival.portal_sessions.find(*key),
        harness.rival.portal_sessions.delete(*key, [_entry(harness)]),
        harness.rival.portal_sessions.change(*key, lambda stored: stored),
    ):
        with pytest.raises(PortalSessionNotFound, match=str(session.session_id)):
            await operation
    assert await store.find(other.environment_id, other.session_id) == other
    assert await _audited(harness) == 1


async def test_what_is_recorded_of_a_new_session_is_stored_with_it(harness: Harness) -> None:
    session = await _add(harness)
    again = evolve(session, session_id=harness.ids())
    await harness.storage.portal_sessions.add(again, [_entry(harness)])
    assert await _audited(harness) == 1
