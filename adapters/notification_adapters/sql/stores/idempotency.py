"""The answers to requests that may be sent again, on SQL: encrypted, bound to their request."""

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from notification_adapters.sql.database import Database
from notification_adapters.sql.tables import kept_answers, place_of
from notification_core.encryption.cipher import Cipher
from notification_core.errors import AlreadyAnswered
from notification_core.model.request_records import KEPT_FOR, KeptAnswer
from notification_core.ports.idempotency import IdempotencyStore

_k = kept_answers.c


class KeptAnswers:
    """Writes kept answers as part of other stores' transactions."""

    def __init__(self, cipher: Cipher) -> None:
        self._cipher = cipher

    async def keep(self, connection: AsyncConnection, kept: KeptAnswer, *, replaces: bool) -> None:
        """Write an answer; raise :class:`AlreadyAnswered` if the request has one to be kept.

        On PostgreSQL a transaction that is answering the same request is waited for.
        """
        of_the_request = sa.delete(kept_answers).where(
            _k.request == kept.request, _k.environment_id == kept.environment_id
        )
        outlived = of_the_request.where(_k.answered_at <= kept.answered_at - KEPT_FOR)
        await connection.execute(of_the_request if replaces else outlived)
        try:
            await connection.execute(sa.insert(kept_answers), self._columns(kept))
        except IntegrityError as error:
            raise AlreadyAnswered("This request was answered already.") from error

    def read(self, row: sa.Row[Any]) -> KeptAnswer:
        """Return the answer that a row holds."""
        place = place_of(_k.answer, row.environment_id, row.request)
        return KeptAnswer(
            environment_id=row.environment_id,
            request=row.request,
            fingerprint=row.fingerprint,
            answer=self._cipher.decrypt(row.answer, place),
            answered_at=row.answered_at,
        )

    def _columns(self, kept: KeptAnswer) -> dict[str, object]:
        place = place_of(_k.answer, kept.environment_id, kept.request)
        return {
            "request": kept.request,
            "environment_id": kept.environment_id,
            "fingerprint": kept.fingerprint,
            "answer": self._cipher.encrypt(kept.answer, place),
            "answered_at": kept.answered_at,
        }


class SqlIdempotencyStore(IdempotencyStore):
    """Finds and forgets kept answers in a SQL database."""

    def __init__(self, database: Database, answers: KeptAnswers) -> None:
        self._database = database
        self._answers = answers

    async def find(self, environment_id: UUID, request: str, since: datetime) -> KeptAnswer | None:
        """Return what a request was answered after ``since``, if it was."""
        wanted = sa.select(kept_answers).where(
            _k.request == request, _k.environment_id == environment_id, _k.answered_at > since
        )
        async with self._database.query() as connection:
            row = (await connection.execute(wanted)).first()
        if row is None:
            return None
        # The response acknowledges the first request's effect again.
        async with self._database.write_transaction() as connection:
            await self._database.confirm_found(connection)
        return self._answers.read(row)

    async def delete_before(self, before: datetime, limit: int) -> int:
        """Forget answers that were given until then; return how many, at most ``limit``."""
        old = sa.select(_k.request).where(_k.answered_at <= before).limit(limit)
        # A look through a reader first, so that a writer is not kept waiting for nothing.
        async with self._database.read_transaction() as connection:
            if (await connection.execute(old.limit(1))).first() is None:
                return 0
        forgotten = sa.delete(kept_answers).where(_k.request.in_(old), _k.answered_at <= before)
        async with self._database.write_transaction() as connection:
            return (await connection.execute(forgotten)).rowcount
