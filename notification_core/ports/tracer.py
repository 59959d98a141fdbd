"""Tracing: spans that tell where the time of an event goes, across processes and programs."""

from abc import abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager
from enum import Enum, auto
from typing import Protocol

AttributeValue = str | int


class SpanKind(Enum):
    """What a span is to the one that it belongs to, as OpenTelemetry names it."""

    SERVER = auto()
    PRODUCER = auto()
    CONSUMER = auto()
    INTERNAL = auto()
    CLIENT = auto()


class Span(Protocol):
    """A piece of work in a trace; its ``traceparent`` (W3C Trace Context) is its place there.

    None if there is no trace.
    """

    traceparent: str | None

    @abstractmethod
    def note(self, attributes: Mapping[str, AttributeValue]) -> None:
        """Say more of the work."""

    @abstractmethod
    def fail(self, reason: str) -> None:
        """Say that the work has failed; it has also where its block raises."""


class Tracer(Protocol):
    """Records spans. Methods return at once, wait for nothing, and raise nothing of their own.

    Where ``is_on`` is False nothing is recorded, stored or sent: who has much to do asks first.
    """

    is_on: bool

    @abstractmethod
    def current(self) -> str | None:
        """Return the ``traceparent`` of the span that the caller works in, None outside of one."""

    @abstractmethod
    def start(
        self,
        name: str,
        kind: SpanKind,
        parent: str | None,
        attributes: Mapping[str, AttributeValue],
        *,
        is_current: bool = True,
    ) -> AbstractContextManager[Span]:
        """Record the block as a span that belongs to ``parent``; with None it begins a trace.

        ``parent`` is a valid ``traceparent``. If it ``is_current``, the caller works in it for the
        length of the block, and log lines carry the trace's id.
        """
