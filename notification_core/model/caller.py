"""Who may do what: scopes, and the callers that have them in some environments or in all."""

from enum import StrEnum
from uuid import UUID

from attrs import field, frozen


class Scope(StrEnum):
    """What a caller may do; each includes the ones before it."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"


@frozen
class Caller:
    """Somebody who has proved who they are; ``environments`` is None for all of them.

    ``name`` tells callers apart wherever they are counted or written down. ``scopes`` are all that
    they have: the ``scope`` that they were given, and those that it includes.
    """

    name: str
    scope: Scope | None
    environments: frozenset[UUID] | None = None
    scopes: frozenset[Scope] = field(init=False, repr=False, eq=False)

    @scopes.default
    def _given_and_included(self) -> frozenset[Scope]:
        from_small_to_large = [*Scope]
        count = 0 if self.scope is None else from_small_to_large.index(self.scope) + 1
        return frozenset(from_small_to_large[:count])

    def reaches(self, environment_id: UUID) -> bool:
        """Tell whether an environment is the caller's; any other is to be as if it were not."""
        return self.environments is None or environment_id in self.environments


ANYBODY = Caller("anybody", Scope.ADMIN)
"""The caller if authentication is disabled."""
