"""Applying filters to events: each is compiled once, and others may use the loop in between."""

import asyncio
from collections import OrderedDict
from collections.abc import Collection, Sequence
from typing import Final

from notification_core.errors import Detail, InvalidFilter, UnrepresentableBody
from notification_core.model.event_filter import filter_errors, is_affordable, weight_of
from notification_core.ports.clock import Clock
from notification_core.ports.filter_compiler import CompiledFilter, FilterCompiler

MOST_ERRORS: Final = 10
"""Places of a body that are named where it does not match."""

_MOST_COMPILED: Final = 1_000
_LONGEST_TURN: Final = 0.005

_TOO_MANY_VALUES = Detail(
    "body",
    "It has more values than this filter is applied to. Say less below items, contains, "
    "additionalProperties and propertyNames, above all fewer numbers.",
)


class EventFilters:
    """Tells which filters the body of an event matches.

    A filter is known by its text: webhooks with the same one share it, and a change of one makes
    another. The thousand used last are kept ready.
    """

    def __init__(self, compiler: FilterCompiler, clock: Clock) -> None:
        self._compiler = compiler
        self._clock = clock
        self._ready: OrderedDict[str, tuple[CompiledFilter, int] | None] = OrderedDict()
        self._worked = 0.0

    def validate(self, text: str) -> Sequence[Detail]:
        """Return all that is wrong with a filter, each with its place; nothing if it is good."""
        if details := [*filter_errors(text)]:
            return details
        try:
            self._compiler.compile(text)
        except InvalidFilter as refused:
            return refused.details
        return ()

    async def matching(self, texts: Collection[str], body: bytes) -> Collection[str]:
        """Return those of the filters that a body matches.

        A body that a filter cannot be applied to does not match it: one that the compiler cannot
        represent, or that has too many values (:func:`is_affordable`).
        """
        matched: set[str] = set()
        try:
            parsed = self._compiler.parse(body) if texts else None
        except UnrepresentableBody:
            return matched
        for text in texts:
            begun = self._clock.monotonic()
            compiled = self._compile(text)
            if compiled and is_affordable(compiled[1], body) and compiled[0].matches(parsed):
                matched.add(text)
            await self._take_turns(begun)
        return matched

    async def errors(self, text: str, body: bytes) -> Sequence[Detail]:
        """Return why a body does not match a filter that is good, in part; nothing if it does."""
        begun = self._clock.monotonic()
        compiled = self._compile(text)
        try:
            if compiled is None or not is_affordable(compiled[1], body):
                return [_TOO_MANY_VALUES]
            return compiled[0].errors(body, MOST_ERRORS)
        except UnrepresentableBody as unrepresentable:
            return [Detail("body", str(unrepresentable))]
        finally:
            await self._take_turns(begun)

    def _compile(self, text: str) -> tuple[CompiledFilter, int] | None:
        """Return a filter with its weight, None for one that was accepted once and is no longer."""
        if text in self._ready:
            self._ready.move_to_end(text)
            return self._ready[text]
        try:
            compiled = self._compiler.compile(text), weight_of(text)
        except InvalidFilter:
            # A stored one, which an update of the compiler refuses: it must not hold up its events.
            compiled = None
        self._ready[text] = compiled
        if len(self._ready) > _MOST_COMPILED:
            self._ready.popitem(last=False)
        return compiled

    async def _take_turns(self, begun: float) -> None:
        """Give the loop to others once filters have used it for some milliseconds."""
        self._worked += self._clock.monotonic() - begun
        if self._worked > _LONGEST_TURN:
            self._worked = 0.0
            await asyncio.sleep(0)
