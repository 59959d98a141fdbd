"""Portal sessions: a code that opens once, within five minutes, and a session that ends."""

from collections.abc import Callable
from datetime import timedelta
from os import urandom
from typing import Any
from uuid import UUID, uuid4

import pytest
from attrs import evolve

from notification_adapters.memory import ManualClock, memory_storage
from notification_core.access.portal_sessions import PortalSessionDraft, PortalSessionService
from notification_core.concurrency.ids import IdGenerator
from notification_core.errors import (
    EnvironmentNotFound,
    InvalidPortalSession,
    PortalCodeRefused,
    SessionEnded,
)
from notification_core.model.caller import Caller, Scope
from notification_core.model.portal_session import DEFAULT_LENGTH, MAX_LENGTH
from tests.support.samples import ENVIRONMENT

DRAFT = PortalSessionDraft(Scope.WRITE, "Anna")
FIVE_MINUTES = 300.0


@pytest.fixture
def clock() -> ManualClock:
    """Return the clock of all sessions."""
    return ManualClock()


@pytest.fixture
def sessions(clock: ManualClock) -> PortalSessionService:
    """Return the service, on a storage in memory that knows the one environment."""

    async def require(environment_id: UUID) -> None:
        if environment_id != ENVIRONMENT:
            raise EnvironmentNotFound(environment_id)

    ids = IdGenerator(clock)
    store = memory_storage(clock, ids).portal_sessions
    return PortalSessionService(store, require, clock, ids, lambda: urandom(32))


async def code_of(sessions: PortalSessionService, **draft: Any) -> str:
    return (await sessions.create(ENVIRONMENT, evolve(DRAFT, **draft))).secret_text


async def test_a_code_is_exchanged_for_a_token_that_identifies_the_caller(
    sessions: PortalSessionService,
) -> None:
    issued = await sessions.create(ENVIRONMENT, DRAFT)
    opened = await sessions.exchange(issued.secret_text)
    assert opened.session.session_id == issued.session.session_id
    found = await sessions.find(opened.secret_text)
    assert found.caller == Caller("portal:Anna", Scope.WRITE, frozenset({ENVIRONMENT}))
    for secret in (issued.secret_text, opened.secret_text):
        assert secret not in repr((issued, opened, found))


async def test_without_a_name_the_audit_log_calls_it_by_its_id(
    sessions: PortalSessionService,
) -> None:
    opened = await sessions.exchange(await code_of(sessions, name=None))
    assert opened.session.caller.name == f"portal:{opened.session.session_id}"


async def test_a_code_opens_once(sessions: PortalSessionService) -> None:
    code = await code_of(sessions)
    opened = await sessions.exchange(code)
    with pytest.raises(PortalCodeRefused, match="used already"):
        await sessions.exchange(code)
    assert await sessions.find(opened.secret_text) == opened.session


@pytest.mark.parametrize(("after", "opens"), [(FIVE_MINUTES - 0.001, True), (FIVE_MINUTES, False)])
async def test_a_code_opens_within_five_minutes(
    sessions: PortalSessionService, clock: ManualClock, *, after: float, opens: bool
) -> None:
    code = await code_of(sessions)
    await clock.advance(after)
    if opens:
        await sessions.exchange(code)
    else:
        with pytest.raises(PortalCodeRefused, match="expired"):
            await sessions.exchange(code)


async def test_a_code_opens_no_session_that_has_expired(
    sessions: PortalSessionService, clock: ManualClock
) -> None:
    code = await code_of(sessions, expires_in=timedelta(seconds=1))
    await clock.advance(1)
    with pytest.raises(PortalCodeRefused):
        await sessions.exchange(code)


async def test_a_session_ends_when_it_expires(
    sessions: PortalSessionService, clock: ManualClock
) -> None:
    opened = await sessions.exchange(await code_of(sessions))
    await clock.advance(DEFAULT_LENGTH.total_seconds() - 0.001)
    assert await sessions.find(opened.secret_text) == opened.session
    await clock.advance(0.001)
    with pytest.raises(SessionEnded):
        await sessions.find(opened.secret_text)
    assert list(await sessions.page(ENVIRONMENT, 9)) == []


async def test_a_revoked_session_ends_at_once_and_its_code_is_rejected(
    sessions: PortalSessionService,
) -> None:
    opened = await sessions.exchange(await code_of(sessions))
    unopened = await sessions.create(ENVIRONMENT, DRAFT)
    for session in (opened.session, unopened.session):
        await sessions.revoke(ENVIRONMENT, session.session_id)
    with pytest.raises(SessionEnded):
        await sessions.find(opened.secret_text)
    with pytest.raises(PortalCodeRefused, match="not valid"):
        await sessions.exchange(unopened.secret_text)


def _of_another_secret(token: str) -> str:
    return token[:-4] + ("AAAA" if token[-4:] != "AAAA" else "BBBB")


def _of_another_session(token: str) -> str:
    return token[:32] + uuid4().hex + token[64:]


@pytest.mark.parametrize(
    "change", [_of_another_secret, _of_another_session, lambda _: "", lambda _: "a" * 107]
)
async def test_what_is_not_the_code_or_the_token_is_rejected(
    sessions: PortalSessionService, change: Callable[[str], str]
) -> None:
    code = await code_of(sessions)
    with pytest.raises(PortalCodeRefused, match="not valid"):
        await sessions.exchange(change(code))
    with pytest.raises(SessionEnded):
        await sessions.find(code)
    opened = await sessions.exchange(code)
    for text in (change(opened.secret_text), code):
        with pytest.raises(SessionEnded):
            await sessions.find(text)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("scope", Scope.ADMIN),
        ("name", ""),
        ("name", "x" * 257),
        ("name", "\0"),
        ("expires_in", timedelta(0)),
        ("expires_in", MAX_LENGTH + timedelta(microseconds=1)),
    ],
)
async def test_what_a_session_may_not_be_is_refused(
    sessions: PortalSessionService, field: str, value: object
) -> None:
    with pytest.raises(InvalidPortalSession) as refused:
        await code_of(sessions, **{field: value})
    assert [detail.field for detail in refused.value.details] == [field]


async def test_the_longest_session_lasts_a_day(sessions: PortalSessionService) -> None:
    issued = await sessions.create(ENVIRONMENT, evolve(DRAFT, expires_in=MAX_LENGTH))
    assert issued.session.expires_at - issued.session.created_at == timedelta(days=1)


async def test_an_environment_that_is_not_there_has_no_sessions(
    sessions: PortalSessionService,
) -> None:
    with pytest.raises(EnvironmentNotFound):
        await sessions.create(uuid4(), DRAFT)
