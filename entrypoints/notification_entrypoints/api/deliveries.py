"""The operations that tell what became of deliveries, and of events."""

from datetime import tzinfo
from typing import cast

from aiohttp import web
from attrs import evolve, frozen

from notification_adapters.converters import ApiConverter
from notification_core.deliveries import State
from notification_core.history import WantedDeliveries, WantedEvents
from notification_core.ports.history import History
from notification_core.ports.webhooks import WebhookStore
from notification_entrypoints.api.answers import json_answer
from notification_entrypoints.api.calls import Call
from notification_entrypoints.api.paging import Paging
from notification_entrypoints.api.parameters import Parameters


@frozen
class DeliveryOperations:
    """Shows deliveries: those of a webhook, those of events, and one with its attempts."""

    history: History
    webhooks: WebhookStore
    converter: ApiConverter
    paging: Paging
    zone: tzinfo

    async def of_webhook(self, call: Call) -> web.Response:
        """Answer with one page of a webhook's deliveries, newest first."""
        webhook_id = call.parameters.id("webhook_id")
        before = self.paging.row(call)
        wanted = self._wanted(call.parameters)
        environment_id = await self.webhooks.environment_of(webhook_id)
        page = await self.history.of_webhook(
            environment_id, webhook_id, self.paging.limit(call), before, wanted
        )
        return self.paging.answer(call, self.converter.dump(page.rows), page.after)

    async def get(self, call: Call) -> web.Response:
        """Answer with one delivery and its attempts."""
        delivery_id = call.parameters.id("delivery_id")
        environment_id = await self.history.environment_of(delivery_id)
        delivery = await self.history.delivery(environment_id, delivery_id)
        return json_answer(self.converter.dump(delivery))

    async def of_event(self, call: Call) -> web.Response:
        """Answer with an event and one page of its deliveries, newest first."""
        key = call.parameters.id("environment_id"), cast("str", call.parameters.text("event_id"))
        before = self.paging.row(call)
        event = await self.history.event(*key)
        page = await self.history.of_event(*key, self.paging.limit(call), before)
        shown = evolve(event, deliveries=page.rows)
        return self.paging.answer(call, self.converter.dump(shown), page.after)

    async def events(self, call: Call) -> web.Response:
        """Answer with one page of an environment's events, newest first."""
        environment_id = call.parameters.id("environment_id")
        wanted = WantedEvents(
            event_type=call.parameters.text("event"),
            since=call.parameters.instant("since", self.zone),
            until=call.parameters.instant("until", self.zone),
        )
        page = await self.history.events(
            environment_id, self.paging.limit(call), self.paging.event(call), wanted
        )
        return self.paging.answer(call, self.converter.dump(page.rows), page.after)

    def _wanted(self, parameters: Parameters) -> WantedDeliveries:
        state = parameters.text("state")
        return WantedDeliveries(
            state=None if state is None else State(state),
            event_type=parameters.text("event"),
            http_code=parameters.number("http_code", None),
            since=parameters.instant("since", self.zone),
            until=parameters.instant("until", self.zone),
        )
