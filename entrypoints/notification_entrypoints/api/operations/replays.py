"""The operations that have events delivered again."""

from aiohttp import hdrs, web
from attrs import frozen

from notification_adapters.converters import ApiConverter
from notification_core.model.read_models import DeliveryView
from notification_core.model.replay import Replay
from notification_core.replays.replays import Replays
from notification_entrypoints.api.audit_trail import AuditTrail
from notification_entrypoints.api.endpoint import ApiCall
from notification_entrypoints.api.idempotency import Idempotency
from notification_entrypoints.api.paging import Paging
from notification_entrypoints.api.responses import ACCEPTED, NO_CONTENT, json_answer


@frozen
class ReplayOperations:
    """Delivers again: one delivery, or by a replay a range of them."""

    replays: Replays
    idempotency: Idempotency
    auditing: AuditTrail
    converter: ApiConverter
    paging: Paging

    async def retry(self, call: ApiCall) -> web.Response:
        """Make one more delivery of the same event, and answer with it."""
        delivery_id = call.parameters.id("delivery_id")
        environment_id = call.environment_id

        def made(delivery: DeliveryView) -> web.Response:
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
            lambda _: delivery_id,
        )

    async def start(self, call: ApiCall) -> web.Response:
        """Begin a replay and answer with it, or only with how much it would come to."""
        key = call.environment_id, call.parameters.id("webhook_id")
        draft = self.converter.replay_draft(call.fields)
        if call.fields.get("dry_run"):
            return json_answer(self.converter.dump(await self.replays.count(*key, draft)))

        def started(replay: Replay) -> web.Response:
            response = json_answer(self.converter.dump(replay), ACCEPTED)
            where = call.request.app.router["getReplay"].url_for(
                webhook_id=str(replay.webhook_id), replay_id=str(replay.replay_id)
            )
            response.headers[hdrs.LOCATION] = str(where)
            return response

        return await self.idempotency.once(
            call,
            call.environment_id,
            lambda keep: self.replays.start(*key, draft, keep),
            started,
            lambda replay: replay.replay_id,
        )

    async def of_webhook(self, call: ApiCall) -> web.Response:
        """Answer with one page of a webhook's replays, newest first."""
        key = call.environment_id, call.parameters.id("webhook_id")
        before = self.paging.row(call)
        page = await self.replays.of_webhook(*key, self.paging.limit(call), before)
        return self.paging.answer(call, self.converter.dump(page.rows), page.after)

    async def get(self, call: ApiCall) -> web.Response:
        """Answer with how a replay stands."""
        key = call.environment_id, call.parameters.id("webhook_id")
        replay = await self.replays.get(*key, call.parameters.id("replay_id"))
        return json_answer(self.converter.dump(replay))

    async def cancel(self, call: ApiCall) -> web.Response:
        """Cancel a replay."""
        key = call.environment_id, call.parameters.id("webhook_id")
        replay_id = call.parameters.id("replay_id")
        await self.replays.cancel(*key, replay_id, [self.auditing.entry(call, replay_id)])
        return web.Response(status=NO_CONTENT)
