"""What stands behind a port if there is nobody to ask."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final
from uuid import UUID

from notification_core.ports.dispatch_notifier import DispatchNotifier
from notification_core.ports.environments import EnvironmentDirectory
from notification_core.ports.key_wrapping import KeyWrapping
from notification_core.ports.tracer import AttributeValue, Span, SpanKind, Tracer


class EveryEnvironment(EnvironmentDirectory):
    """Says of each environment that it exists: for where nobody else can tell."""

    async def exists(self, environment_id: UUID) -> bool:  # noqa: ARG002 - whichever it is
        """Return True."""
        return True

    async def close(self) -> None:
        """Do nothing."""


class NoWrapping(KeyWrapping):
    """Takes each text for the secret itself: whoever can read the configuration has it."""

    async def unwrap(self, wrapped: str) -> str:
        """Return the same text."""
        return wrapped

    async def close(self) -> None:
        """Do nothing."""


class NoNotifier(DispatchNotifier):
    """Wakes nobody and is never woken: for a single dispatching process, and it polls."""

    def wake(self) -> None:
        """Do nothing."""

    async def wait(self) -> None:
        """Never return."""
        await asyncio.Event().wait()

    async def close(self) -> None:
        """Do nothing."""


class _NoSpan(Span):
    """A span that nobody records."""

    traceparent = None

    def note(self, attributes: Mapping[str, AttributeValue]) -> None:
        """Do nothing."""

    def fail(self, reason: str) -> None:
        """Do nothing."""


_NO_SPAN: Final = _NoSpan()


class NoTracer(Tracer):
    """Records nothing: for where tracing is off."""

    is_on = False

    def current(self) -> str | None:
        """Return None."""
        return None

    @contextmanager
    def start(
        self,
        name: str,  # noqa: ARG002 - whatever it is
        kind: SpanKind,  # noqa: ARG002 - the same
        parent: str | None,  # noqa: ARG002 - the same
        attributes: Mapping[str, AttributeValue],  # noqa: ARG002 - the same
        *,
        is_current: bool = True,  # noqa: ARG002 - the same
    ) -> Iterator[Span]:
        """Record nothing."""
        yield _NO_SPAN
