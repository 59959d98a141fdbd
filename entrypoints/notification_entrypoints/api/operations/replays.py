"""The operations that have events redelivered."""

from collections.abc import Mapping

from aiohttp import hdrs, web
from attrs import frozen

from notification_adapters.converters import ApiConverter
from notification_core.model.read_models import DeliveryView
from notification_core.model.replay import Replay
from notification_core.replays.replays import ReplayService
from notification_entrypoints.api.audit_trail import AuditTrail
from notification_entrypoints.api.endpoint import (
    ACCEPTED,
    NO_CONTENT,
    ApiCall,
    Handler,
    json_response,
)
from notification_entrypoints.api.idempotency import Idempotency
from notification_entrypoints.api.paging import Paging


@frozen
class ReplayOperations:
    """Delivers again: one delivery, or by a replay a range of them."""

    replays: ReplayService
    idempotency: Idempotency
    audit_trail: AuditTrail
    converter: ApiConverter
    paging: Paging

    @property
    def handlers(self) -> Mapping[str, Handler]:
        """What answers these operations, by their ids in the document."""
        return {
            "retryDelivery": Handler(self.retry),
            "startReplay": Handler(self.start),
            "listReplays": Handler(self.of_webhook),
            "getReplay": Handler(self.get),
            "cancelReplay": Handler(self.cancel),
        }

    async def retry(self, call: ApiCall) -> web.Response:
        """Make one more delivery of the same event, and answer with it."""
        delivery_id = call.parameters.id("delivery_id")
        environment_id = call.environment_id

        def render(delivery: DeliveryView) -> web.Response:
            response = json_response(self.converter.dump(delivery), ACCEPTED)
            where = call.path_of("getDelivery", delivery_id=delivery.delivery_id)
            response.headers[hdrs.LOCATION] = where
            return response

        return await self.idempotency.respond_once(
            call,
            lambda records: self.replays.retry(environment_id, delivery_id, records),
            render,
            lambda _: delivery_id,
        )

    async def start(self, call: ApiCall) -> web.Response:
        """Begin a replay and answer with it, or only with how much it would come to."""
        key = call.environment_id, call.parameters.id("webhook_id")
        draft = self.converter.replay_draft(call.fields)
        if call.fields.get("dry_run"):
            return json_response(self.converter.dump(await self.replays.count(*key, draft)))

        def render(replay: Replay) -> web.Response:
            response = json_response(self.converter.dump(replay), ACCEPTED)
            ids = {"webhook_id": replay.webhook_id, "replay_id": replay.replay_id}
            response.headers[hdrs.LOCATION] = call.path_of("getReplay", **ids)
            return response

        return await self.idempotency.respond_once(
            call,
            lambda records: self.replays.start(*key, draft, records),
            render,
            lambda replay: replay.replay_id,
        )

    async def of_webhook(self, call: ApiCall) -> web.Response:
        """Answer with one page of a webhook's replays, newest first."""
        key = call.environment_id, call.parameters.id("webhook_id")
        before = self.paging.row(call)
        page = await self.replays.of_webhook(*key, self.paging.limit(call), before)
        return self.paging.respond(call, self.converter.dump(page.rows), page.after)

    async def get(self, call: ApiCall) -> web.Response:
        """Answer with how a replay stands."""
        key = call.environment_id, call.parameters.id("webhook_id")
        replay = await self.replays.get(*key, call.parameters.id("replay_id"))
        return json_response(self.converter.dump(replay))

    async def cancel(self, call: ApiCall) -> web.Response:
        """Cancel a replay."""
        key = call.environment_id, call.parameters.id("webhook_id")
        replay_id = call.parameters.id("replay_id")
        await self.replays.cancel(*key, replay_id, [self.audit_trail.entry_for(call, replay_id)])
        return web.Response(status=NO_CONTENT)
