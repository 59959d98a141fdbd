"""Who may call an operation, as the document says it: which scope, and in which environments.

Each operation says so itself, by the ``security`` of OpenAPI and by the ids in its path; one that
says nothing cannot be loaded.
"""

import re
from collections.abc import Mapping
from enum import Enum

from attrs import frozen

from notification_core.model.caller import Scope

SCHEME = "bearer"
"""How the document calls the one way in which credentials are sent."""

_ENVIRONMENTS = "x-environments"


class Reach(Enum):
    """Whose environment a caller's must be."""

    ANY = "any"
    ALL = "all"
    ENVIRONMENT = "environment_id"
    WEBHOOK = "webhook_id"
    DELIVERY = "delivery_id"

    @property
    def has_subject(self) -> bool:
        """Whether the path names something that belongs to an environment."""
        return self not in {Reach.ANY, Reach.ALL}


@frozen
class Rule:
    """What a caller needs; ``scope`` is None where everybody may call."""

    scope: Scope | None
    reach: Reach


def rule_of(operation: Mapping[str, object], path: str) -> Rule:
    """Return the rule of an operation; raise LookupError where it does not say all of it."""
    name = operation.get("operationId")
    match operation.get("security"):
        case []:
            scope = None
        case [{"bearer": [str(needed)], **others}] if not others:
            scope = Scope(needed)
        case _:
            raise LookupError(f"{name} does not say which scope it needs, nor that it needs none.")
    subjects = {reach.value: reach for reach in Reach if reach.has_subject}
    named = [subjects[each] for each in re.findall(r"\{(\w+)\}", path) if each in subjects]
    said = operation.get(_ENVIRONMENTS)
    if named and said is None:
        return Rule(scope, named[0])
    if not named and said in {Reach.ANY.value, Reach.ALL.value}:
        return Rule(scope, Reach(said))
    raise LookupError(f"{name} must say by its path or by {_ENVIRONMENTS} where it may be called.")
