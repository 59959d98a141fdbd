"""One attempt: sign the event's body, send it, judge the answer."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from attrs import frozen

from notification_core.concurrency.ids import IdGenerator
from notification_core.model.custom_headers import masked
from notification_core.model.delivery import (
    INTERRUPTED,
    Attempt,
    AttemptError,
    AttemptOutcome,
    AttemptResult,
    ClaimedDelivery,
    NextStep,
    ReceivedResponse,
    Retry,
    SentRequest,
    Succeeded,
)
from notification_core.model.retry_policy import RetryPolicy, error_in, next_step_after
from notification_core.model.signing_key import SigningKey
from notification_core.model.webhook import Webhook
from notification_core.ports.clock import Clock
from notification_core.ports.sender import HttpRequest, HttpSender, SendingFailed
from notification_core.signing.signatures import SignatureCache
from notification_core.version import VERSION

Headers = tuple[tuple[str, str], ...]

_FIXED_HEADERS: Headers = (
    ("Content-Type", "application/json"),
    ("User-Agent", f"notification-management/{VERSION}"),
)


@frozen
class DeliveryRules:
    """What holds for every attempt: its time limit and the retries after it."""

    timeout: timedelta
    retries: RetryPolicy


class AttemptMaker:
    """Makes attempts of deliveries that have been begun."""

    def __init__(  # noqa: PLR0913, PLR0917 - its collaborators, one by one
        self,
        sender: HttpSender,
        signatures: SignatureCache,
        clock: Clock,
        ids: IdGenerator,
        rules: DeliveryRules,
        random: Callable[[], float],
    ) -> None:
        self._sender = sender
        self._signatures = signatures
        self._clock = clock
        self._ids = ids
        self.rules = rules
        self._random = random

    async def attempt(
        self, delivery: ClaimedDelivery, webhook: Webhook, keys: Sequence[SigningKey]
    ) -> AttemptResult:
        """Send one request, signed with these keys, and return what it came to."""
        began = self._clock.monotonic()
        started_at = self._clock.now()
        signed = self._signed(delivery, keys, started_at)
        request = HttpRequest(
            webhook.method,
            webhook.url,
            (*_FIXED_HEADERS, *webhook.custom_headers.items(), *signed),
            delivery.body,
            # The connection may be what failed.
            pool_key=None if delivery.failures else delivery.fence.environment_id,
        )
        response, error = await self._send(request)
        attempt = Attempt(
            log_id=self._ids(),
            environment_id=delivery.fence.environment_id,
            webhook_id=delivery.webhook_id,
            delivery_id=delivery.fence.delivery_id,
            event_id=delivery.event_id,
            event_type=delivery.event_type,
            number=delivery.fence.attempt,
            outcome=AttemptOutcome.SUCCEEDED if error is None else AttemptOutcome.FAILED,
            started_at=started_at,
            error=error,
            request=_as_logged(webhook, signed),
            response=response,
            duration=timedelta(seconds=self._clock.monotonic() - began),
        )
        return AttemptResult(
            delivery.fence, attempt, self._verdict(delivery, error, response), webhook.version
        )

    def interrupted(self, delivery: ClaimedDelivery, webhook: Webhook) -> AttemptResult:
        """Return the result of an attempt of which nobody knows how far it came."""
        attempt = Attempt(
            log_id=self._ids(),
            environment_id=delivery.fence.environment_id,
            webhook_id=delivery.webhook_id,
            delivery_id=delivery.fence.delivery_id,
            event_id=delivery.event_id,
            event_type=delivery.event_type,
            number=delivery.fence.attempt,
            outcome=AttemptOutcome.INTERRUPTED,
            started_at=self._clock.now(),
            error=INTERRUPTED,
        )
        return AttemptResult(
            delivery.fence, attempt, Retry(self.rules.retries.interval), webhook.version
        )

    def _signed(
        self, delivery: ClaimedDelivery, keys: Sequence[SigningKey], at: datetime
    ) -> Headers:
        fence = delivery.fence
        return (
            *self._signatures.headers_for(delivery, keys, int(at.timestamp())),
            ("webhook-delivery", str(fence.delivery_id)),
            ("webhook-attempt", str(fence.attempt)),
        )

    async def _send(
        self, request: HttpRequest
    ) -> tuple[ReceivedResponse | None, AttemptError | None]:
        try:
            response = await self._sender.send(request, self.rules.timeout)
        except SendingFailed as failure:
            return None, failure.error
        return response, error_in(response)

    def _verdict(
        self,
        delivery: ClaimedDelivery,
        error: AttemptError | None,
        response: ReceivedResponse | None,
    ) -> NextStep:
        if error is None:
            return Succeeded()
        now, jitter = self._clock.now(), self._random()
        return next_step_after(
            self.rules.retries, delivery.failures, error, response, now=now, jitter=jitter
        )


def _as_logged(webhook: Webhook, signed: Headers) -> SentRequest:
    """Return the request as the log keeps it: only what the customer chose can be a secret."""
    headers = (*_FIXED_HEADERS, *masked(webhook.custom_headers).items(), *signed)
    return SentRequest(webhook.method.value, webhook.url, headers)
