"""The operations that have events delivered again."""

from aiohttp import hdrs, web
from attrs import frozen

from notification_adapters.converters import ApiConverter
from notification_core.history import DeliveryRecord
from notification_core.replays import Replays
from notification_entrypoints.api.answers import ACCEPTED, json_answer
from notification_entrypoints.api.calls import Call
from notification_entrypoints.api.idempotency import Idempotency


@frozen
class ReplayOperations:
    """Delivers again: one delivery."""

    replays: Replays
    idempotency: Idempotency
    converter: ApiConverter

    async def retry(self, call: Call) -> web.Response:
        """Make one more delivery of the same event, and answer with it."""
        delivery_id = call.parameters.id("delivery_id")
        environment_id = call.environment_id

        def made(delivery: DeliveryRecord) -> web.Response:
            response = json_answer(self.converter.dump(delivery), ACCEPTED)
            route = call.request.app.router["getDelivery"]
            where = route.url_for(delivery_id=str(delivery.delivery_id))
            response.headers[hdrs.LOCATION] = str(where)
            return response

        return await self.idempotency.once(
            call,
            environment_id,
            lambda keep: self.replays.retry(environment_id, delivery_id, keep),
            made,
        )
