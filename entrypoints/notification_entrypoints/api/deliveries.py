"""The operations that tell what became of deliveries, and of events."""

from datetime import datetime, tzinfo
from typing import cast

from aiohttp import web
from attrs import evolve, frozen

from notification_adapters.converters import ApiConverter
from notification_adapters.messages import instant
from notification_core.deliveries import State
from notification_core.history import DeliveryPage, Wanted
from notification_core.ports.history import History
from notification_core.ports.webhooks import WebhookStore
from notification_entrypoints.api.answers import json_answer, link_next, row_of
from notification_entrypoints.api.calls import Call
from notification_entrypoints.api.parameters import Parameters

_DEFAULT_LIMIT = 50


@frozen
class DeliveryOperations:
    """Shows deliveries: those of a webhook, those of an event, and one with its attempts."""

    history: History
    webhooks: WebhookStore
    converter: ApiConverter
    zone: tzinfo

    async def of_webhook(self, call: Call) -> web.Response:
        """Answer with one page of a webhook's deliveries, newest first."""
        webhook_id = call.parameters.id("webhook_id")
        limit = call.parameters.number("limit", _DEFAULT_LIMIT)
        before = row_of(call.parameters.text("cursor"))
        wanted = self._wanted(call.parameters)
        environment_id = await self.webhooks.environment_of(webhook_id)
        page = await self.history.of_webhook(environment_id, webhook_id, limit, before, wanted)
        return self._answer(call, page, page.deliveries)

    async def get(self, call: Call) -> web.Response:
        """Answer with one delivery and its attempts."""
        delivery_id = call.parameters.id("delivery_id")
        environment_id = await self.history.environment_of(delivery_id)
        delivery = await self.history.delivery(environment_id, delivery_id)
        return json_answer(self.converter.dump(delivery))

    async def of_event(self, call: Call) -> web.Response:
        """Answer with an event and one page of its deliveries, newest first."""
        key = call.parameters.id("environment_id"), cast("str", call.parameters.text("event_id"))
        limit = call.parameters.number("limit", _DEFAULT_LIMIT)
        before = row_of(call.parameters.text("cursor"))
        event = await self.history.event(*key)
        page = await self.history.of_event(*key, limit, before)
        return self._answer(call, page, evolve(event, deliveries=page.deliveries))

    def _wanted(self, parameters: Parameters) -> Wanted:
        state = parameters.text("state")
        return Wanted(
            state=None if state is None else State(state),
            event_type=parameters.text("event"),
            since=self._instant(parameters.text("since")),
            until=self._instant(parameters.text("until")),
        )

    def _instant(self, text: str | None) -> datetime | None:
        return None if text is None else instant(text, self.zone)

    def _answer(self, call: Call, page: DeliveryPage, shown: object) -> web.Response:
        response = json_answer(self.converter.dump(shown))
        if page.after is not None:
            link_next(response, call.request, page.after)
        return response
