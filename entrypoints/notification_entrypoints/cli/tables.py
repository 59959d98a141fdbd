"""How values are laid out for people: rows as a table or as blocks, objects, and their times.

Nothing is ever cut: rows that are wider than the terminal are shown as one block each.
"""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from itertools import compress
from typing import Final

import msgspec
from attrs import define, field, frozen
from rich.cells import cell_len
from rich.text import Text

Row = Sequence[object]
"""The values of a row as the API gives them: times and ids are texts."""

_GAP: Final = "  "
_BETWEEN_FIELDS: Final = "   "
_TIMES: Final = frozenset({"since", "until", "done_until", "disabled_until", "not_before", "at"})
_PROSE: Final = frozenset({"description", "errors", "meaning"})
_LEAST_PROSE: Final = 30
_DOCUMENTS: Final = frozenset({"filter", "data_schema", "example"})
_STYLES: Final[Mapping[str, str]] = {
    "succeeded": "green",
    "active": "green",
    "failed": "red",
    "skipped": "yellow",
    "interrupted": "yellow",
    "pending": "cyan",
}
# What rows that are not known yet need room for.
_TYPICAL: Final[Mapping[str, int]] = {"event": 13, "event_id": 36, "error": 7, "outcome": 11}


@frozen
class Style:
    """How values are shown: the width that there is, and the zone of times (None: the local one).

    Without a width, as in a file, there is room for everything: times are shown whole.
    """

    width: int | None = None
    zone: tzinfo | None = None
    now: datetime = field(factory=lambda: datetime.now(UTC))

    def time(self, instant: str) -> str:
        """Return a time with its zone, to the millisecond; what is not one stays as it is."""
        at = self._local(instant)
        if at is None:
            return instant
        return f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03d} {at:%Z}"

    def short_time(self, instant: str) -> str:
        """Return a time with its zone in few characters: of today without the date."""
        at = self._local(instant)
        if self.width is None or at is None:
            return self.time(instant)
        today = self.now.astimezone(self.zone)
        if at.date() == today.date():
            return f"{at:%H:%M:%S %Z}"
        return f"{at:%b %d %H:%M %Z}" if at.year == today.year else f"{at:%Y-%m-%d %H:%M %Z}"

    def _local(self, instant: str) -> datetime | None:
        try:
            return datetime.fromisoformat(instant).astimezone(self.zone)
        except (ValueError, OverflowError):  # The end of the year 9999 is later elsewhere.
            return None


@define
class Rows:
    """Lays out rows that have the same columns, and goes on like the first ones that it got.

    A column's name is the API's; by it times are known. With ``goes_on`` more rows will follow.
    """

    columns: Sequence[str]
    style: Style
    goes_on: bool = False
    _widths: Sequence[int] | None = field(default=None, init=False)
    _is_table: bool = field(default=True, init=False)
    _numeric: Sequence[bool] = field(default=(), init=False)

    def lines(self, rows: Sequence[Row]) -> Iterator[Text]:
        """Return the lines of the next rows, before the first ones those of the head."""
        texts = [
            [self._text(name, value) for name, value in zip(self.columns, row, strict=True)]
            for row in rows
        ]
        if self._widths is None:
            if not self.goes_on:
                # A column that none of the rows fills only takes room from the others.
                filled = [any(row[index] for row in texts) for index in range(len(self.columns))]
                self.columns = list(compress(self.columns, filled))
                rows = [list(compress(row, filled)) for row in rows]
                texts = [list(compress(row, filled)) for row in texts]
            self._choose(rows, texts)
            if self._is_table:
                yield Text(self._line(self.columns), style="bold")
        for row in texts:
            yield from self._table_row(row) if self._is_table else self._block(row)

    def _text(self, name: str, value: object) -> str:
        if isinstance(value, str) and _is_time(name):
            return self.style.short_time(value)
        return plain(value)

    def _choose(self, rows: Sequence[Row], texts: Sequence[Sequence[str]]) -> None:
        widths = [
            max([cell_len(name), *(cell_len(row[index]) for row in texts)])
            for index, name in enumerate(self.columns)
        ]
        if self.goes_on:
            typical = [_TYPICAL.get(name, 0) for name in self.columns]
            widths = [max(pair) for pair in zip(widths, typical, strict=True)]
        self._numeric = [
            any(isinstance(row[index], int | float) for row in rows)
            for index in range(len(self.columns))
        ]
        if (width := self.style.width) is not None:
            left = width - sum(widths[:-1]) - len(_GAP) * (len(widths) - 1)
            if widths[-1] > left and self.columns[-1] in _PROSE and left >= _LEAST_PROSE:
                widths[-1] = left
            self._is_table = widths[-1] <= left
        self._widths = widths

    def _table_row(self, row: Sequence[str]) -> Iterator[Text]:
        *others, last = row
        parts = [last]
        if self.style.width is not None and self._widths and cell_len(last) > self._widths[-1]:
            parts = textwrap.wrap(
                last, self._widths[-1], break_long_words=False, break_on_hyphens=False
            )
        for index, part in enumerate(parts or [""]):
            cells = others if index == 0 else [""] * len(others)
            line = Text(self._line([*cells, part]))
            yield _coloured(line, self.columns, row) if index == 0 else line

    def _line(self, cells: Sequence[str]) -> str:
        padded = (
            " " * (width - cell_len(cell)) + cell
            if numeric
            else cell + " " * (width - cell_len(cell))
            for cell, width, numeric in zip(cells, self._widths or (), self._numeric, strict=True)
        )
        return _GAP.join(padded).rstrip()

    def _block(self, row: Sequence[str]) -> Iterator[Text]:
        """Return a row as ``name: value``, as many side by side as there is room for."""
        line = Text()
        for name, text in zip(self.columns, row, strict=True):
            if not text:
                continue
            pair = Text.assemble((f"{name}: ", "dim"), text)
            needed = line.cell_len + len(_BETWEEN_FIELDS) + pair.cell_len
            if line and needed > (self.style.width or 0):
                yield _coloured(line, self.columns, row)
                first, *rest = _wrapped(f"{name}: {text}", self.style, 2 * len(_GAP))
                line = Text.assemble(_GAP, (first[: len(name) + 1], "dim"), first[len(name) + 1 :])
                for part in rest:
                    yield line
                    line = Text(_GAP * 2 + part)
            else:
                line.append(_BETWEEN_FIELDS if line else "").append_text(pair)
        yield _coloured(line, self.columns, row)


def object_lines(values: Mapping[str, object], style: Style, indent: str = "") -> Iterator[Text]:
    """Return the fields of an object, one a line; what is inside of one is indented."""
    flat = {name: value for name, value in values.items() if not isinstance(value, dict)}
    width = max((cell_len(name) for name in flat), default=0)
    for name, value in [*flat.items(), *(item for item in values.items() if item[0] not in flat)]:
        if isinstance(value, dict):
            yield Text(indent + printable(name), style="bold")
            if name in _DOCUMENTS:
                text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
                yield from (Text(indent + _GAP + printable(line)) for line in text.splitlines())
            else:
                yield from object_lines(value, style, indent + _GAP)
            continue
        shown = style.time(value) if isinstance(value, str) and _is_time(name) else plain(value)
        label = indent + printable(name) + " " * (width - cell_len(name)) + _GAP
        first, *rest = _wrapped(shown, style, len(label))
        line = Text.assemble((label, "bold"), first)
        line.rstrip()
        yield _coloured(line, [name], [shown])
        yield from (Text(" " * len(label) + part) for part in rest)


def _wrapped(text: str, style: Style, indent: int) -> Sequence[str]:
    """Return a text in parts that fit beside an indent, cut at blanks only."""
    if style.width is None or style.width - indent < _LEAST_PROSE:
        return [text]
    width = style.width - indent
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False) or [""]


def plain(value: object) -> str:
    """Return a value as text that a terminal shows and does not obey."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.1f}"
    if isinstance(value, list | tuple):
        return ", ".join(plain(item) for item in value)
    if isinstance(value, Mapping):
        return ", ".join(f"{plain(name)} {plain(item)}" for name, item in value.items())
    return printable(str(value))


def printable(text: str) -> str:
    """Return a text without what a terminal would obey instead of show."""
    return "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text
    )


def _is_time(name: str) -> bool:
    return name.endswith("_at") or name in _TIMES


def _coloured(line: Text, columns: Sequence[str], row: Sequence[str]) -> Text:
    """Colour the state or the outcome in a line, which begins with its word."""
    for name, text in zip(columns, row, strict=True):
        word = text.partition(" ")[0]
        if name in {"state", "outcome", "status"} and word in _STYLES:
            line.highlight_words([word], _STYLES[word])
    return line
