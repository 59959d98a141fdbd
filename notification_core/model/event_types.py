"""Event types: what customers can subscribe to, and what the data of each looks like.

Which there are is an installation's own choice (:mod:`.event_catalogue`). Schemas are JSON Schema
2020-12.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice
from types import MappingProxyType
from typing import TypeAlias
from uuid import UUID

from attrs import field, frozen

from notification_core.errors import Detail

Json: TypeAlias = "str | int | float | bool | list[Json] | dict[str, Json] | None"
"""A JSON value, as Python holds it."""

RESERVED_EVENT_TYPES = frozenset(
    {
        "webhook-disabled",
        "webhook-paused",
        "webhook-resumed",
        "webhook-delivery-failed",
        "verification-key-rotated",
    }
)
"""The names of operational events, which no catalogue can have."""

_MAX_SHOWN = 64
_MAX_NAMED = 20


@frozen
class EventType:
    """One kind of event. ``schema`` and ``example`` are of the event's ``data``.

    Both are shared by the whole process: they are to be read only. One that is ``deprecated`` is
    delivered as any other; it is a word to those who subscribe.
    """

    name: str
    description: str
    schema: Mapping[str, Json] = field(repr=False, hash=False)
    example: Json = field(repr=False, hash=False)
    summary: str | None = None
    deprecated: bool = False


def _read_only(types: Mapping[str, EventType]) -> Mapping[str, EventType]:
    return MappingProxyType(dict(types))


@frozen
class EventCatalogue:
    """The event types of an installation, by their names, in the order in which they are shown.

    ``origin`` is where it was read, as a setting says it; empty for the one of the 1.0 interface.
    """

    types: Mapping[str, EventType] = field(converter=_read_only, repr=False, hash=False)
    origin: str = ""

    def __str__(self) -> str:
        return self.origin

    @property
    def names(self) -> str:
        """The names of the types as a sentence lists them: the first twenty."""
        names = ", ".join(islice(self.types, _MAX_NAMED))
        more = len(self.types) - _MAX_NAMED
        return f"{names} and {more:,} more" if more > 0 else names

    def unknown(self, names: Collection[str]) -> Sequence[str]:
        """Return which of these are not in the catalogue, in the order of the alphabet."""
        return sorted(name for name in names if name not in self.types)

    def subscription_errors(
        self, names: Sequence[str], stored: Collection[str] = ()
    ) -> Iterator[Detail]:
        """Yield what is wrong with the event types that a webhook is to have.

        A type that is not in the catalogue may stay if the webhook is ``stored`` with it, so that a
        catalogue can lose a type without holding up any other change of the webhook.
        """
        if not names:
            yield Detail("events", f"No event types are given. Give at least one of {self.names}.")
        for index, name in enumerate(names):
            if name not in self.types and name not in stored:
                problem = f"Unknown event type {name[:_MAX_SHOWN]!r}. Choose from {self.names}."
                yield Detail(f"events[{index}]", problem)
        for name, count in Counter(names).items():
            if count > 1:
                yield Detail("events", f"The event {name!r} is there {count} times. Give it once.")


@frozen
class EventCatalogues:
    """The event types that can be ``published``, and those that the system itself publishes.

    The ``operational`` ones go to the webhooks of a single environment, if there is one.
    """

    published: EventCatalogue
    operational: EventCatalogue
    operational_environment: UUID | None = None
    known: EventCatalogue = field(init=False)

    @known.default
    def _known(self) -> EventCatalogue:
        if self.operational_environment is None:
            return self.published
        return EventCatalogue({**self.published.types, **self.operational.types})

    def of(self, environment_id: UUID) -> EventCatalogue:
        """Return the event types that webhooks of an environment can subscribe to."""
        is_operational = environment_id == self.operational_environment
        return self.known if is_operational else self.published
