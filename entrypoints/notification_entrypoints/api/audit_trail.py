"""The audit log: what is written in it of a call, and the operations that read it."""

from collections.abc import Callable
from uuid import UUID

from aiohttp import web
from attrs import frozen

from notification_adapters.converters import ApiConverter
from notification_core.model.audit import AuditEntry
from notification_core.ports.audit import AuditLog
from notification_core.ports.clock import Clock
from notification_entrypoints.api.endpoint import ApiCall
from notification_entrypoints.api.paging import Paging

REQUEST = web.RequestKey("request_id", str)
"""Where a request's id stands, for whoever tells of the request."""


@frozen
class AuditTrail:
    """Makes the entry that tells of a call, for the store of its effect to write."""

    clock: Clock
    ids: Callable[[], UUID]
    address_of: Callable[[web.Request], str]

    def entry(self, call: ApiCall, subject: object) -> AuditEntry:
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


@frozen
class AuditOperations:
    """Reads the audit log: that of an environment, and that of the installation."""

    log: AuditLog
    converter: ApiConverter
    paging: Paging

    async def page(self, call: ApiCall) -> web.Response:
        """Answer with one page of entries, newest first."""
        limit, before = self.paging.limit(call), self.paging.row(call)
        # One more than is shown tells whether there is a next page.
        entries = await self.log.page(call.environment, limit + 1, before)
        after = entries[limit - 1].entry_id if len(entries) > limit else None
        return self.paging.answer(call, self.converter.dump(entries[:limit]), after)
