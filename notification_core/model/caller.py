"""Who may do what: scopes, and the callers that have them in some environments or in all."""

from enum import StrEnum
from uuid import UUID

from attrs import frozen


class Scope(StrEnum):
    """What a caller may do; each includes the ones before it."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"


_FROM_SMALL_TO_LARGE = tuple(Scope)


@frozen
class Caller:
    """Somebody who has proved who they are; ``environments`` is None for all of them.

    ``name`` tells callers apart wherever they are counted or written down.
    """

    name: str
    scope: Scope | None
    environments: frozenset[UUID] | None = None

    def may(self, scope: Scope) -> bool:
        """Tell whether the caller has a scope, or one that includes it."""
        ranks = _FROM_SMALL_TO_LARGE
        return self.scope is not None and ranks.index(self.scope) >= ranks.index(scope)

    def reaches(self, environment_id: UUID) -> bool:
        """Tell whether an environment is the caller's; any other is to be as if it were not."""
        return self.environments is None or environment_id in self.environments


ANYBODY = Caller("anybody", Scope.ADMIN)
"""Who calls where nobody is asked."""
