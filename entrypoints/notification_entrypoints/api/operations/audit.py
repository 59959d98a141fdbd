"""The operations that read the audit log."""

from collections.abc import Mapping

from aiohttp import web
from attrs import frozen

from notification_adapters.converters import ApiConverter
from notification_core.ports.audit import AuditLog
from notification_entrypoints.api.endpoint import ApiCall, Handler
from notification_entrypoints.api.paging import Paging


@frozen
class AuditOperations:
    """Reads the audit log: that of an environment, and that of the installation."""

    log: AuditLog
    converter: ApiConverter
    paging: Paging

    @property
    def handlers(self) -> Mapping[str, Handler]:
        """What answers these operations, by their ids in the document."""
        return {
            "listAudit": Handler(self.page),
            "listInstallationAudit": Handler(self.page),
        }

    async def page(self, call: ApiCall) -> web.Response:
        """Answer with one page of entries, newest first."""
        limit, before = self.paging.limit(call), self.paging.row(call)
        # One more than is shown tells whether there is a next page.
        entries = await self.log.page(call.environment, limit + 1, before)
        after = entries[limit - 1].entry_id if len(entries) > limit else None
        return self.paging.respond(call, self.converter.dump(entries[:limit]), after)
