"""Instants as the engines keep them."""

from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.types import TypeEngine

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def to_microseconds(at: datetime) -> int:
    """Return an instant as microseconds since the epoch, exactly."""
    return (at - EPOCH) // MICROSECOND


def from_microseconds(at: int) -> datetime:
    """Return the instant, in UTC, that many microseconds after the epoch."""
    return EPOCH + timedelta(microseconds=at)


class Instant(sa.types.TypeDecorator[datetime]):
    """An aware instant: ``timestamptz`` on PostgreSQL, an integer of microseconds on SQLite.

    SQLite has no type for time, and text of it comes back naive and compares by its form.
    """

    impl = sa.BigInteger
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> TypeEngine[datetime] | TypeEngine[int]:
        """Choose the type that the engine has for it."""
        if dialect.name == "postgresql":
            return dialect.type_descriptor(sa.TIMESTAMP(timezone=True))
        return dialect.type_descriptor(sa.BigInteger())

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> object:
        """Write an aware instant; a naive one is an error."""
        if value is None or dialect.name == "postgresql":
            return value
        return to_microseconds(value)

    def process_result_value(
        self,
        value: datetime | int | None,
        dialect: sa.Dialect,  # noqa: ARG002 - the signature is SQLAlchemy's
    ) -> datetime | None:
        """Read an instant back as aware and in UTC."""
        if isinstance(value, int):
            return from_microseconds(value)
        return value.astimezone(UTC) if value is not None else None
