"""The operations that tell what became of deliveries, and of events."""

from datetime import tzinfo
from typing import cast

from aiohttp import web
from attrs import evolve, frozen

from notification_adapters.converters import ApiConverter
from notification_core.model.delivery import DeliveryState
from notification_core.model.read_models import WantedDeliveries, WantedEvents
from notification_core.ports.history import History
from notification_entrypoints.api.endpoint import ApiCall
from notification_entrypoints.api.http.parameters import Parameters
from notification_entrypoints.api.paging import Paging
from notification_entrypoints.api.responses import json_answer


@frozen
class DeliveryOperations:
    """Shows deliveries: those of a webhook, those of events, and one with its attempts."""

    history: History
    converter: ApiConverter
    paging: Paging
    zone: tzinfo

    async def of_webhook(self, call: ApiCall) -> web.Response:
        """Answer with one page of a webhook's deliveries, newest first."""
        webhook_id = call.parameters.id("webhook_id")
        before = self.paging.row(call)
        wanted = self._wanted(call.parameters)
        page = await self.history.of_webhook(
            call.environment_id, webhook_id, self.paging.limit(call), before, wanted
        )
        return self.paging.answer(call, self.converter.dump(page.rows), page.after)

    async def get(self, call: ApiCall) -> web.Response:
        """Answer with one delivery and its attempts."""
        delivery_id = call.parameters.id("delivery_id")
        delivery = await self.history.delivery(call.environment_id, delivery_id)
        return json_answer(self.converter.dump(delivery))

    async def of_event(self, call: ApiCall) -> web.Response:
        """Answer with an event and one page of its deliveries, newest first."""
        key = call.environment_id, cast("str", call.parameters.text("event_id"))
        before = self.paging.row(call)
        event = await self.history.event(*key)
        page = await self.history.of_event(*key, self.paging.limit(call), before)
        shown = evolve(event, deliveries=page.rows)
        return self.paging.answer(call, self.converter.dump(shown), page.after)

    async def events(self, call: ApiCall) -> web.Response:
        """Answer with one page of an environment's events, newest first."""
        wanted = WantedEvents(
            event_type=call.parameters.text("event"),
            since=call.parameters.instant("since", self.zone),
            until=call.parameters.instant("until", self.zone),
        )
        page = await self.history.events(
            call.environment_id, self.paging.limit(call), self.paging.event(call), wanted
        )
        return self.paging.answer(call, self.converter.dump(page.rows), page.after)

    def _wanted(self, parameters: Parameters) -> WantedDeliveries:
        state = parameters.text("state")
        return WantedDeliveries(
            state=None if state is None else DeliveryState(state),
            event_type=parameters.text("event"),
            http_code=parameters.number("http_code", None),
            since=parameters.instant("since", self.zone),
            until=parameters.instant("until", self.zone),
        )
