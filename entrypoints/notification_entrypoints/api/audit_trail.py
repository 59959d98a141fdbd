"""The audit log: what is written in it of a call."""

from collections.abc import Callable
from uuid import UUID

from aiohttp import web
from attrs import frozen

from notification_core.model.request_records import AuditEntry
from notification_core.ports.clock import Clock
from notification_entrypoints.api.endpoint import ApiCall

REQUEST = web.RequestKey("request_id", str)
"""Where a request's id is kept, for logs and the audit log."""


@frozen
class AuditTrail:
    """Makes the entry that tells of a call, for the store of its effect to write."""

    clock: Clock
    ids: Callable[[], UUID]
    address_of: Callable[[web.Request], str]

    def entry_for(self, call: ApiCall, subject: object) -> AuditEntry:
        """Return the entry of a call that changes ``subject``."""
        return AuditEntry(
            entry_id=self.ids(),
            environment_id=call.environment,
            at=self.clock.now(),
            actor=call.caller.name,
            address=self.address_of(call.request),
            action=call.operation_id,
            subject=str(subject),
            request_id=call.request[REQUEST],
        )
