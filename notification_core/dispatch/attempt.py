"""One attempt: sign the event's body, send it, check the response."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from urllib.parse import urlsplit

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
from notification_core.model.phases import Phases
from notification_core.model.retry_policy import RetryPolicy, error_in, next_step_after
from notification_core.model.signing_key import SigningKey
from notification_core.model.signing_secret import live_secrets
from notification_core.model.webhook import Webhook
from notification_core.ports.clock import Clock
from notification_core.ports.sender import HttpRequest, HttpSender, SendingFailed
from notification_core.ports.tracer import AttributeValue, SpanKind, Tracer
from notification_core.signing.signatures import SignatureCache, add_symmetric_signatures
from notification_core.version import VERSION

Headers = tuple[tuple[str, str], ...]

_FIXED_HEADERS: Headers = (
    ("Content-Type", "application/json"),
    ("User-Agent", f"notification-management/{VERSION}"),
)


@frozen
class DeliveryRules:
    """What holds for every attempt: its time limit and the retries after it.

    A webhook may have retries of its own, and a time limit that is shorter.
    """

    timeout: timedelta
    retries: RetryPolicy

    def timeout_for(self, webhook: Webhook) -> timedelta:
        """Return the time limit of a webhook's attempts, which leases are reckoned with."""
        # The installation's may have become shorter since the webhook's was set.
        return self.timeout if webhook.timeout is None else min(webhook.timeout, self.timeout)


class AttemptMaker:
    """Makes attempts of deliveries that have been claimed."""

    def __init__(  # noqa: PLR0913, PLR0917 - its collaborators, one by one
        self,
        sender: HttpSender,
        signatures: SignatureCache,
        clock: Clock,
        ids: IdGenerator,
        rules: DeliveryRules,
        random: Callable[[], float],
        tracer: Tracer,
        instance: str | None = None,
    ) -> None:
        self._sender = sender
        self._signatures = signatures
        self._clock = clock
        self._ids = ids
        self.rules = rules
        self._random = random
        self.tracer = tracer
        self._instance = instance

    def make(
        self,
        delivery: ClaimedDelivery,
        webhook: Webhook,
        keys: Sequence[SigningKey],
        get_latest: Callable[[], Webhook] | None = None,
    ) -> Awaitable[AttemptResult]:
        """Send one request, signed with these keys, and return what it came to.

        If it fails, the next step is by the webhook as ``get_latest`` returns it then. While
        tracing is on, it is a span in the trace of its event, and carries its place there.
        """
        make = self._make_traced if self.tracer.is_on else self._make
        return make(delivery, webhook, keys, get_latest)

    async def _make_traced(
        self,
        delivery: ClaimedDelivery,
        webhook: Webhook,
        keys: Sequence[SigningKey],
        get_latest: Callable[[], Webhook] | None,
    ) -> AttemptResult:
        parent, attributes = delivery.traceparent, _span_attributes(delivery, webhook)
        with self.tracer.start("attempt", SpanKind.CLIENT, parent, attributes) as span:
            place = span.traceparent
            trace: Headers = () if place is None else (("traceparent", place),)
            result = await self._make(delivery, webhook, keys, get_latest, trace)
            attempt = result.attempt
            if attempt.response is not None:
                span.note({"http.response.status_code": attempt.response.http_code})
            if attempt.error is not None:
                span.note({"error.type": attempt.error.code})
                span.fail(attempt.error.code)
            return result

    async def _make(
        self,
        delivery: ClaimedDelivery,
        webhook: Webhook,
        keys: Sequence[SigningKey],
        get_latest: Callable[[], Webhook] | None,
        trace: Headers = (),
    ) -> AttemptResult:
        start = self._clock.monotonic()
        started_at = self._clock.now()
        fence = delivery.fence
        headers = self._signatures.headers_for(delivery, keys, int(started_at.timestamp()))
        if webhook.signing_secrets:
            secrets = live_secrets(webhook.signing_secrets, started_at)
            headers = add_symmetric_signatures(headers, secrets, delivery.body)
        named = ("webhook-delivery", str(fence.delivery_id))
        signed = (*headers, named, ("webhook-attempt", str(fence.attempt)), *trace)
        request = HttpRequest(
            webhook.method,
            webhook.url,
            (*_FIXED_HEADERS, *webhook.custom_headers.items(), *signed),
            delivery.body,
            # The connection may be what failed.
            pool_key=None if delivery.failures else fence.environment_id,
        )
        response = None
        try:
            response = await self._sender.send(request, self.rules.timeout_for(webhook))
            error, phases = error_in(response), response.phases
        except SendingFailed as failure:
            error, phases = failure.error, failure.phases
        # Of the headers only what the customer chose can be a secret.
        custom = masked(webhook.custom_headers).items() if webhook.custom_headers else ()
        logged_headers = (*_FIXED_HEADERS, *custom, *signed)
        attempt = self._attempt(
            delivery,
            AttemptOutcome.SUCCEEDED if error is None else AttemptOutcome.FAILED,
            started_at,
            error,
            request=SentRequest(str(webhook.method), webhook.url, logged_headers),
            response=response,
            duration=timedelta(seconds=self._clock.monotonic() - start),
            phases=phases,
        )
        next_step: NextStep = Succeeded()
        if error is not None:
            latest = get_latest() if get_latest else webhook
            next_step = self._after_failure(delivery.failures, error, response, latest)
        return AttemptResult(fence, attempt, next_step, webhook.version, delivery.ordering_key)

    def _after_failure(
        self,
        failures: int,
        error: AttemptError,
        response: ReceivedResponse | None,
        webhook: Webhook,
    ) -> NextStep:
        policy, now = self.rules.retries.overridden_by(webhook.retry), self._clock.now()
        jitter = self._random()
        return next_step_after(policy, failures, error, response, now=now, jitter=jitter)

    def interrupted(self, delivery: ClaimedDelivery, webhook: Webhook) -> AttemptResult:
        """Return the result of an attempt of which nobody knows how far it came."""
        outcome, now = AttemptOutcome.INTERRUPTED, self._clock.now()
        attempt = self._attempt(delivery, outcome, now, INTERRUPTED)
        retry = Retry(self.rules.retries.interval)
        return AttemptResult(delivery.fence, attempt, retry, webhook.version, delivery.ordering_key)

    def _attempt(  # noqa: PLR0913 - what an attempt has, the last four if its request was sent
        self,
        delivery: ClaimedDelivery,
        outcome: AttemptOutcome,
        started_at: datetime,
        error: AttemptError | None,
        *,
        request: SentRequest | None = None,
        response: ReceivedResponse | None = None,
        duration: timedelta | None = None,
        phases: Phases | None = None,
    ) -> Attempt:
        return Attempt(
            log_id=self._ids(started_at + (duration or timedelta())),
            environment_id=delivery.fence.environment_id,
            webhook_id=delivery.webhook_id,
            delivery_id=delivery.fence.delivery_id,
            event_id=delivery.event_id,
            event_type=delivery.event_type,
            number=delivery.fence.attempt,
            outcome=outcome,
            started_at=started_at,
            error=error,
            request=request,
            response=response,
            duration=duration,
            instance=self._instance,
            phases=phases,
        )


def _span_attributes(delivery: ClaimedDelivery, webhook: Webhook) -> Mapping[str, AttributeValue]:
    """Return what a span says of an attempt; of the URL no more than the host.

    A path or a query may be what lets a sender in, and spans go to others.
    """
    url, fence = urlsplit(webhook.url), delivery.fence
    return {
        "http.request.method": webhook.method.upper(),
        "http.request.resend_count": fence.attempt - 1,
        "server.address": url.hostname or "",
        "server.port": url.port or (443 if url.scheme == "https" else 80),
        "url.scheme": url.scheme,
        "notification.event_id": delivery.event_id,
        "notification.event_type": delivery.event_type,
        "notification.environment_id": str(fence.environment_id),
        "notification.webhook_id": str(delivery.webhook_id),
        "notification.delivery_id": str(fence.delivery_id),
    }
