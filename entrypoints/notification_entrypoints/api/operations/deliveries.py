"""The operations that report the status of deliveries and events, and the log of attempts."""

from collections.abc import Callable, Mapping
from datetime import tzinfo
from typing import TypeVar, cast

from aiohttp import web
from attrs import evolve, frozen

from notification_adapters.converters import ApiConverter
from notification_core.model.delivery import AttemptOutcome, DeliveryState
from notification_core.model.read_models import AttemptCriteria, DeliveryCriteria, EventCriteria
from notification_core.ports.history import History
from notification_core.ports.logs import LogStore
from notification_entrypoints.api.endpoint import ApiCall, Handler, json_response
from notification_entrypoints.api.paging import Paging

_Criteria = TypeVar("_Criteria")


@frozen
class DeliveryOperations:
    """Shows deliveries: those of a webhook, those of events, and one with its attempts.

    Also all attempts of a webhook that have ended: its log.
    """

    history: History
    logs: LogStore
    converter: ApiConverter
    paging: Paging
    zone: tzinfo

    @property
    def handlers(self) -> Mapping[str, Handler]:
        """What answers these operations, by their ids in the document."""
        return {
            "listDeliveries": Handler(self.of_webhook),
            "getDelivery": Handler(self.get),
            "listEvents": Handler(self.events),
            "getEvent": Handler(self.of_event),
            "getEventBody": Handler(self.body),
            "listWebhookLogs": Handler(self.log),
        }

    async def of_webhook(self, call: ApiCall) -> web.Response:
        """Answer with one page of a webhook's deliveries, newest first."""
        parameters = call.parameters
        key = call.environment_id, parameters.id("webhook_id")
        before = self.paging.row(call)
        state = parameters.text("state")
        criteria = self._criteria(
            call,
            DeliveryCriteria,
            state=None if state is None else DeliveryState(state),
            http_code=parameters.number("http_code", None),
        )
        page = await self.history.of_webhook(*key, self.paging.limit(call), before, criteria)
        return self.paging.respond(call, self.converter.dump(page.rows), page.after)

    async def get(self, call: ApiCall) -> web.Response:
        """Answer with one delivery and its attempts."""
        delivery_id = call.parameters.id("delivery_id")
        delivery = await self.history.delivery(call.environment_id, delivery_id)
        return json_response(self.converter.dump(delivery))

    async def of_event(self, call: ApiCall) -> web.Response:
        """Answer with an event and one page of its deliveries, newest first."""
        key = call.environment_id, cast("str", call.parameters.text("event_id"))
        before = self.paging.row(call)
        event = await self.history.event(*key)
        page = await self.history.of_event(*key, self.paging.limit(call), before)
        shown = evolve(event, deliveries=page.rows)
        return self.paging.respond(call, self.converter.dump(shown), page.after)

    async def body(self, call: ApiCall) -> web.Response:
        """Answer with the body of an event: the bytes that its webhooks are sent."""
        event_id = cast("str", call.parameters.text("event_id"))
        event = await self.history.body(call.environment_id, event_id)
        return json_response(event.body)

    async def events(self, call: ApiCall) -> web.Response:
        """Answer with one page of an environment's events, newest first."""
        criteria = self._criteria(call, EventCriteria)
        page = await self.history.events(
            call.environment_id, self.paging.limit(call), self.paging.event(call), criteria
        )
        return self.paging.respond(call, self.converter.dump(page.rows), page.after)

    async def log(self, call: ApiCall) -> web.Response:
        """Answer with one page of a webhook's log: the attempts that have ended, newest first."""
        parameters = call.parameters
        key = call.environment_id, parameters.id("webhook_id")
        before = self.paging.row(call)
        outcome = parameters.text("outcome")
        criteria = self._criteria(
            call,
            AttemptCriteria,
            outcome=None if outcome is None else AttemptOutcome(outcome),
            http_code=parameters.number("http_code", None),
        )
        page = await self.logs.page(*key, self.paging.limit(call), before, criteria)
        return self.paging.respond(call, self.converter.dump(page.rows), page.after)

    def _criteria(self, call: ApiCall, kind: Callable[..., _Criteria], **own: object) -> _Criteria:
        """Return what a list is to show, by the filters of every list and its own."""
        return kind(
            event_type=call.parameters.text("event"),
            since=call.parameters.instant("since", self.zone),
            until=call.parameters.instant("until", self.zone),
            **own,
        )
