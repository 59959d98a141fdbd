"""Pages of what memory holds, looked for as far as a database would look."""

from collections.abc import Callable, Iterable
from itertools import islice
from typing import TypeVar

from notification_core.model.read_models import MOST_LOOKED_AT, Page, page_of

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
    looked_at = list(islice(newest_first, MOST_LOOKED_AT if is_selective else limit + 1))
    found = [row for row in looked_at if matches(row)]
    stopped = is_selective and len(looked_at) == MOST_LOOKED_AT
    stopped_at = place_of(looked_at[-1]) if stopped else None
    return page_of(found[: limit + 1], limit, stopped_at, place_of)
