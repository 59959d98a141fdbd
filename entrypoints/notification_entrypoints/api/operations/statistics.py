"""The operations that show statistics: what was sent, how it ended, and how long it took."""

import asyncio
from collections.abc import Mapping
from datetime import tzinfo
from uuid import UUID

from aiohttp import web
from attrs import frozen

from notification_adapters.converters import ApiConverter
from notification_adapters.statistics_fields import statistics_fields
from notification_core.model.statistics import BucketSize, choose_period
from notification_core.ports.clock import Clock
from notification_core.ports.statistics import StatisticsStore
from notification_entrypoints.api.endpoint import ApiCall, Handler, json_response


@frozen
class StatisticsOperations:
    """Shows the statistics of a webhook, and of all webhooks of an environment together."""

    store: StatisticsStore
    clock: Clock
    converter: ApiConverter
    zone: tzinfo

    @property
    def handlers(self) -> Mapping[str, Handler]:
        """What answers these operations, by their ids in the document."""
        return {
            "getWebhookStatistics": Handler(self.of_webhook),
            "getEnvironmentStatistics": Handler(self.of_environment),
        }

    async def of_webhook(self, call: ApiCall) -> web.Response:
        """Answer with the statistics of a webhook."""
        return await self._respond(call, call.parameters.id("webhook_id"))

    async def of_environment(self, call: ApiCall) -> web.Response:
        """Answer with the sums over an environment's webhooks, deleted ones included."""
        return await self._respond(call, None)

    async def _respond(self, call: ApiCall, webhook_id: UUID | None) -> web.Response:
        parameters = call.parameters
        period = choose_period(
            BucketSize(parameters.text("bucket") or BucketSize.HOUR),
            parameters.instant("since", self.zone),
            parameters.instant("until", self.zone),
            self.clock.now(),
        )
        counts = await self.store.read(call.environment_id, webhook_id, period)
        # A thousand buckets take some hundred milliseconds.
        fields = await asyncio.to_thread(statistics_fields, period, counts)
        return json_response(await asyncio.to_thread(self.converter.dump, fields))
