"""Pages of what memory holds, looked for as far as a database would look."""

from collections.abc import Callable, Iterable
from itertools import islice
from typing import TypeVar

from notification_core.model.read_models import MAX_EXAMINED, Page, page_of

_Row = TypeVar("_Row")
_Place = TypeVar("_Place")


def page_from(
    newest_first: Iterable[_Row],
    limit: int,
    matches: Callable[[_Row], bool],
    place_of: Callable[[_Row], _Place],
    *,
    is_selective: bool,
) -> Page[_Row, _Place]:
    """Return a page of the rows that match; if others may be skipped, the look is bounded."""
    examined = list(islice(newest_first, MAX_EXAMINED if is_selective else limit + 1))
    matching = [row for row in examined if matches(row)]
    stopped = is_selective and len(examined) == MAX_EXAMINED
    stopped_at = place_of(examined[-1]) if stopped else None
    return page_of(matching[: limit + 1], limit, stopped_at, place_of)
