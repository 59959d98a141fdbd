"""Statements that are compiled once for each engine, and run on its driver.

Through SQLAlchemy, each execution of a statement switches greenlets, looks for its compiled text
and makes a result object: together more than what most statements take.
"""

from collections import namedtuple
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa
from attrs import frozen
from sqlalchemy.types import TypeEngine

ResultRow = Any
"""A named tuple, whose fields are the columns of its statement."""

_Convert = Callable[[Any], Any]
_ConvertAll = Callable[[Iterable[Any]], Iterable[Any]]


Bound = tuple["Statement", Mapping[str, object]]
"""A statement with its values."""


@frozen
class CompiledStatement:
    """A statement in the SQL of one engine: ``text``, with values and rows in its driver's types.

    ``parameters`` are the values' names in the order of the text's placeholders, each with what
    converts it, ``defaults`` the values that the statement itself holds. ``columns`` are the places
    of the columns that are to be converted, each with what converts all of its values.
    """

    text: str
    parameters: Sequence[tuple[str, _Convert | None]]
    defaults: Mapping[str, object]
    columns: Sequence[tuple[int, _ConvertAll]]
    make_row: Callable[[Iterable[Any]], ResultRow]

    def values(self, given: Mapping[str, object]) -> Sequence[Any]:
        """Return the values for the placeholders; raise KeyError if one is missing."""
        known = {**self.defaults, **given}
        return [
            known[name] if convert is None else convert(known[name])
            for name, convert in self.parameters
        ]

    def rows(self, raw: Sequence[Iterable[Any]]) -> list[ResultRow]:
        """Return what the driver gave as rows of values in our types."""
        if not raw:
            return []
        columns: list[Iterable[Any]] = [*zip(*raw, strict=True)]
        for place, convert in self.columns:
            columns[place] = convert(columns[place])
        return [*map(self.make_row, zip(*columns, strict=True))]


_Constructed = sa.Select[Any] | sa.CompoundSelect[Any] | sa.Insert | sa.Update


class Statement:
    """A statement whose values are ``sa.bindparam(name)``; made once, as a constant of a module.

    ``postgresql`` is the same in words that SQLite does not have: with its columns and values.
    """

    def __init__(self, statement: _Constructed, *, postgresql: _Constructed | None = None) -> None:
        self._statement = statement
        self._postgresql = statement if postgresql is None else postgresql
        self._compiled: dict[str, CompiledStatement] = {}

    def compiled(self, dialect: sa.Dialect) -> CompiledStatement:
        """Return it in the SQL of an engine."""
        if (known := self._compiled.get(dialect.name)) is not None:
            return known
        statement = self._postgresql if dialect.name == "postgresql" else self._statement
        compiled = statement.compile(dialect=dialect)
        assert isinstance(compiled, sa.sql.compiler.SQLCompiler)  # noqa: S101 - for the type checker
        # What writes gives no rows.
        columns = [*getattr(statement, "selected_columns", ())]
        converters = [_converter(column.type, dialect) for column in columns]
        row: Any = namedtuple("Row", [str(column.key) for column in columns])  # type: ignore[misc]  # noqa: PYI024 - the names are the statement's
        self._compiled[dialect.name] = made = CompiledStatement(
            str(compiled),
            [
                (name, compiled.binds[name].type.dialect_impl(dialect).bind_processor(dialect))
                for name in compiled.positiontup or ()
            ],
            {name: value for name, value in compiled.params.items() if value is not None},
            [(place, convert) for place, convert in enumerate(converters) if convert is not None],
            row._make,
        )
        return made


def _converter(type_: TypeEngine[Any], dialect: sa.Dialect) -> _ConvertAll | None:
    """Return what makes our values of a column's, None if they are those that the driver gives."""
    convert = type_.dialect_impl(dialect).result_processor(dialect, None)
    if convert is None:
        return None
    if isinstance(type_, sa.Uuid):
        # A sixth of what it takes one by one.
        return partial(msgspec.convert, type=list[UUID | None])
    return partial(map, convert)
