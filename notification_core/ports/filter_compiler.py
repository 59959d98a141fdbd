"""Applying the filters of webhooks to the bodies of events."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Protocol

from notification_core.errors import Detail


class CompiledFilter(Protocol):
    """A filter that is ready to be applied, from any thread."""

    @abstractmethod
    def matches(self, body: object) -> bool:
        """Tell whether a parsed body matches, as JSON Schema 2020-12 says.

        A string longer than :data:`~notification_core.model.event_filter.MAX_PATTERN_TEXT` does not
        match a pattern. A pattern takes a time that is linear in the string.
        """

    @abstractmethod
    def errors(self, body: bytes, most: int) -> Sequence[Detail]:
        """Return the first places of a body at which it does not match, with the filter's place.

        There are none if it matches, and one alone of a body with many values: looking for all
        would take long. Values of the body are not quoted. Raises :class:`UnrepresentableBody`.
        """


class FilterCompiler(Protocol):
    """Prepares filters and bodies. Done in the caller's thread: it is over in milliseconds."""

    @abstractmethod
    def compile(self, text: str) -> CompiledFilter:
        """Return a filter whose text has passed :func:`filter_errors`.

        Raises :class:`InvalidFilter`, which names the place, where a keyword has a value that it
        cannot have, and where a pattern is not one or is too large.
        """

    @abstractmethod
    def parse(self, body: bytes) -> object:
        """Return a body as filters are applied to it.

        Raises :class:`UnrepresentableBody` for one with an integer that is too large.
        """
