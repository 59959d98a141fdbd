"""The operation that reads a webhook's log, page by page."""

from datetime import tzinfo

from aiohttp import web
from attrs import frozen

from notification_adapters.converters import ApiConverter
from notification_core.model.delivery import AttemptOutcome
from notification_core.model.read_models import WantedAttempts
from notification_core.ports.logs import LogStore
from notification_entrypoints.api.endpoint import ApiCall
from notification_entrypoints.api.http.parameters import Parameters
from notification_entrypoints.api.paging import Paging


@frozen
class LogOperations:
    """Reads the attempts that have ended."""

    logs: LogStore
    converter: ApiConverter
    paging: Paging
    zone: tzinfo

    async def page(self, call: ApiCall) -> web.Response:
        """Answer with one page, newest first, and a link to the next one where there is one."""
        webhook_id = call.parameters.id("webhook_id")
        before = self.paging.row(call)
        wanted = self._wanted(call.parameters)
        page = await self.logs.page(
            call.environment_id, webhook_id, self.paging.limit(call), before, wanted
        )
        return self.paging.answer(call, self.converter.dump(page.rows), page.after)

    def _wanted(self, parameters: Parameters) -> WantedAttempts:
        outcome = parameters.text("outcome")
        return WantedAttempts(
            outcome=None if outcome is None else AttemptOutcome(outcome),
            event_type=parameters.text("event"),
            http_code=parameters.number("http_code", None),
            since=parameters.instant("since", self.zone),
            until=parameters.instant("until", self.zone),
        )
