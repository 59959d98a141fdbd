"""The operation that tries a webhook out."""

from typing import cast

from aiohttp import web
from attrs import frozen

from notification_adapters.converters import ApiConverter
from notification_core.model.delivery import Attempt
from notification_core.webhooks.webhook_tester import WebhookTester
from notification_entrypoints.api.endpoint import ApiCall
from notification_entrypoints.api.idempotency import Idempotency
from notification_entrypoints.api.responses import json_answer


@frozen
class TrialOperations:
    """Sends examples."""

    trials: WebhookTester
    idempotency: Idempotency
    converter: ApiConverter

    async def send(self, call: ApiCall) -> web.Response:
        """Send an example to a webhook, and answer with the attempt."""
        webhook_id = call.parameters.id("webhook_id")
        event_type = cast("str | None", call.fields.get("event"))
        environment_id = call.environment_id
        return await self.idempotency.once(
            call,
            environment_id,
            lambda keep: self.trials.send(environment_id, webhook_id, event_type, keep),
            self._shown,
            lambda _: webhook_id,
        )

    def _shown(self, attempt: Attempt) -> web.Response:
        return json_answer(self.converter.dump(attempt))
