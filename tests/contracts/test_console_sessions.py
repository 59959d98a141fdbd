"""What a store of console sessions promises."""

from datetime import timedelta
from typing import Any

from attrs import evolve

from notification_core.model.caller import Scope
from notification_core.model.console_session import ConsoleSession
from notification_core.model.request_records import AuditEntry
from notification_core.model.session_token import hash_token
from tests.contracts.harness import Harness


def _session(harness: Harness, **changes: Any) -> ConsoleSession:
    now = harness.clock.now()
    session = ConsoleSession(
        session_id=harness.ids(),
        name="key:1",
        scope=Scope.ADMIN,
        environments=None,
        credential="key:1",
        token_digest=hash_token("the-token"),
        created_at=now,
        expires_at=now + timedelta(hours=1),
    )
    return evolve(session, **changes)


def _entry(harness: Harness) -> AuditEntry:
    return AuditEntry(harness.ids(), harness.clock.now(), "anna", "::1", "x", "y", "z")


async def test_a_session_comes_back_whole_until_it_is_deleted(harness: Harness) -> None:
    both = frozenset({harness.environment_id, harness.other_environment_id})
    sessions = _session(harness), _session(harness, environments=both, scope=Scope.READ)
    for session in sessions:
        await harness.storage.console_sessions.add(session)
        assert await harness.rival.console_sessions.find(session.session_id) == session
    await harness.storage.console_sessions.delete(sessions[0].session_id)
    assert await harness.rival.console_sessions.find(sessions[0].session_id) is None
    assert await harness.rival.console_sessions.find(sessions[1].session_id) == sessions[1]


async def test_that_a_session_was_deleted_is_recorded_once(harness: Harness) -> None:
    session = _session(harness)
    await harness.storage.console_sessions.add(session, [_entry(harness)])
    for storage in (harness.storage, harness.rival):
        await storage.console_sessions.delete(session.session_id, [_entry(harness)])
    assert len(await harness.storage.audit.page(None, 9)) == 2
