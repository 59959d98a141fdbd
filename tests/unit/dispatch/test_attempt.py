"""One attempt: what goes out, what is logged of it, and what happens to the delivery."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import attrs
import pytest

from notification_adapters.memory import ManualClock
from notification_adapters.memory.sender import ScriptedResponse, ScriptedSender
from notification_core.dispatch.attempt import AttemptMaker, DeliveryRules
from notification_core.errors import InvalidSignature
from notification_core.model.delivery import (
    AttemptError,
    AttemptOutcome,
    AttemptResult,
    ErrorCode,
    Failed,
    ReceivedResponse,
    Retry,
    Succeeded,
)
from notification_core.model.phases import REUSED, Phases
from notification_core.model.retry_overrides import RetryOverrides
from notification_core.model.retry_policy import RetryPolicy
from notification_core.model.signing_key import SigningKey, new_signing_key
from notification_core.model.signing_secret import SigningSecret
from notification_core.model.webhook import DisabledReason, Method
from notification_core.ports.sender import HttpRequest, SendingFailed
from notification_core.signing.verification import verify_request
from tests.support.assembly import MemoryApp
from tests.support.samples import ENVIRONMENT, NOW, a_delivery, a_webhook

RULES = DeliveryRules(
    timeout=timedelta(seconds=10),
    retries=RetryPolicy(max_retries=3, interval=timedelta(seconds=5)),
)
KEYS: Sequence[SigningKey] = [new_signing_key(ENVIRONMENT, NOW, b"k" * 32)]
WEBHOOK = attrs.evolve(
    a_webhook(), method=Method.PUT, custom_headers={"X-Team": "red", "X-Api-Key": "hidden"}
)


class SlowSender(ScriptedSender):
    """A sender whose responses take three seconds of the manual clock."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__()
        self._clock = clock

    async def send(self, request: HttpRequest, timeout: timedelta) -> ReceivedResponse:  # noqa: ASYNC109 - the port's
        await self._clock.advance(3)
        self._clock.jump(-timedelta(hours=1))
        return await super().send(request, timeout)


class TimedSender(ScriptedSender):
    """A sender that remembers how long each request might take."""

    def __init__(self) -> None:
        super().__init__()
        self.timeouts: list[timedelta] = []

    async def send(self, request: HttpRequest, timeout: timedelta) -> ReceivedResponse:  # noqa: ASYNC109 - the port's
        self.timeouts.append(timeout)
        return await super().send(request, timeout)


def attempts(clock: ManualClock, sender: ScriptedSender) -> AttemptMaker:
    return MemoryApp(clock=clock, sender=sender, delivery_rules=RULES, jitter=lambda: 0.5).attempts


async def _attempt(
    response: ScriptedResponse, *, failures: int = 0
) -> tuple[HttpRequest, AttemptResult]:
    clock = ManualClock()
    sender = SlowSender(clock)
    sender.respond(WEBHOOK.url, response)
    delivery = a_delivery(WEBHOOK, body=b'{"the":"body"}', failures=failures)
    result = await attempts(clock, sender).make(delivery, WEBHOOK, KEYS)
    (request,) = sender.requests
    return request, result


async def test_the_request_goes_to_the_webhook_with_the_bytes_of_the_event() -> None:
    request, _ = await _attempt(200)
    assert (request.method, request.url) == (Method.PUT, WEBHOOK.url)
    assert request.body == b'{"the":"body"}'


async def test_the_request_says_who_sends_what_and_which_attempt_it_is() -> None:
    request, result = await _attempt(200)
    headers = dict(request.headers)
    assert headers["Content-Type"] == "application/json"
    assert headers["User-Agent"].startswith("notification-management/")
    assert headers["X-Api-Key"] == "hidden"
    assert headers["webhook-delivery"] == str(result.fence.delivery_id)
    assert headers["webhook-attempt"] == "1"
    assert headers["webhook-id"] == "msg_event"
    assert len(headers) == len(request.headers)


async def test_the_request_is_signed_in_the_second_of_its_start() -> None:
    request, result = await _attempt(200)
    headers = dict(request.headers)
    timestamp = int(NOW.timestamp())
    assert result.attempt.started_at == NOW
    assert headers["X-Signature-Timestamp"] == headers["webhook-timestamp"] == str(timestamp)
    signed = str(timestamp).encode() + request.body
    assert headers["X-Signature"] == KEYS[0].private_key.sign(signed).hex()
    assert headers["X-Signature-Key-Id"] == KEYS[0].key_id
    assert headers["webhook-signature"].startswith("v1a,")


async def test_a_webhook_with_secrets_gets_their_signatures_while_they_are_live() -> None:
    clock, sender = ManualClock(), ScriptedSender()
    maker = attempts(clock, sender)
    new = SigningSecret(UUID(int=2), b"n" * 32, NOW)
    former = SigningSecret(UUID(int=1), b"f" * 32, NOW, NOW + timedelta(seconds=1))
    secretive = attrs.evolve(WEBHOOK, signing_secrets=(new, former))
    delivery = a_delivery(secretive, body=b"{}")
    versions = []
    for webhook in (secretive, WEBHOOK, secretive):
        await maker.make(delivery, webhook, KEYS)
        entries = dict(sender.requests[-1].headers)["webhook-signature"].split(" ")
        versions.append([entry.partition(",")[0] for entry in entries])
        if webhook is WEBHOOK:
            await clock.advance(1)
    assert versions == [["v1a", "v1", "v1"], ["v1a"], ["v1a", "v1"]]
    request = sender.requests[-1]
    verify_request(request.body, request.headers, new.text, now=clock.now())
    with pytest.raises(InvalidSignature):
        verify_request(request.body, request.headers, former.text, now=clock.now())


async def test_the_log_holds_the_request_without_the_values_of_custom_headers() -> None:
    request, result = await _attempt(200)
    logged = result.attempt.request
    assert logged
    assert (logged.method, logged.url) == ("put", WEBHOOK.url)
    masked = [
        (name, "***" if name in WEBHOOK.custom_headers else value)
        for name, value in request.headers
    ]
    assert list(logged.headers) == masked
    assert "hidden" not in repr(result)


async def test_the_log_holds_the_response_and_a_duration_that_no_clock_change_spoils() -> None:
    response = ReceivedResponse(200, (("X-Served-By", "a"),), b"thanks")
    _, result = await _attempt(response)
    assert result.attempt.response == response
    assert result.attempt.duration == timedelta(seconds=3)


async def test_the_log_holds_the_phases_that_the_sender_measured() -> None:
    _, result = await _attempt(ReceivedResponse(200, (), b"", phases=REUSED))
    assert result.attempt.phases is REUSED
    failed = Phases(dns=timedelta(seconds=3))
    error = AttemptError(ErrorCode.DNS, "There is no such name.")
    _, result = await _attempt(SendingFailed(error, failed))
    assert result.attempt.phases == failed


async def test_a_2xx_ends_the_delivery_as_succeeded() -> None:
    _, result = await _attempt(204)
    assert (result.next_step, result.attempt.outcome) == (Succeeded(), AttemptOutcome.SUCCEEDED)
    assert result.attempt.error is None


async def test_a_failure_is_logged_and_retried_after_the_interval_and_some_jitter() -> None:
    _, result = await _attempt(500)
    assert result.next_step == Retry(timedelta(seconds=5.5))
    assert result.attempt.outcome is AttemptOutcome.FAILED
    assert result.attempt.error
    assert result.attempt.error.code is ErrorCode.HTTP_STATUS


async def test_the_last_retry_ends_the_delivery_as_failed() -> None:
    _, result = await _attempt(500, failures=3)
    assert result.next_step == Failed()


async def test_a_webhooks_own_retries_and_time_limit_take_the_place_of_the_installations() -> None:
    clock, sender = ManualClock(), TimedSender()
    maker = attempts(clock, sender)
    own = attrs.evolve(
        WEBHOOK,
        retry=RetryOverrides(max_retries=1, interval=timedelta(minutes=1)),
        timeout=timedelta(seconds=2),
    )
    sender.respond(own.url, 500)
    result = await maker.make(a_delivery(own), own, KEYS)
    assert result.next_step == Retry(timedelta(seconds=66))
    assert sender.timeouts == [timedelta(seconds=2)]
    result = await maker.make(a_delivery(own, failures=1), own, KEYS)
    assert result.next_step == Failed()


async def test_a_time_limit_that_is_longer_than_the_installations_by_now_does_not_hold() -> None:
    sender = TimedSender()
    own = attrs.evolve(WEBHOOK, timeout=RULES.timeout + timedelta(seconds=1))
    await attempts(ManualClock(), sender).make(a_delivery(own), own, KEYS)
    assert sender.timeouts == [RULES.timeout]


async def test_the_retries_that_a_webhook_has_at_the_time_of_the_failure_hold() -> None:
    sender = ScriptedSender()
    sender.respond(WEBHOOK.url, 500)
    changed = attrs.evolve(WEBHOOK, retry=RetryOverrides(max_retries=0), version=2)
    maker = attempts(ManualClock(), sender)
    result = await maker.make(a_delivery(WEBHOOK), WEBHOOK, KEYS, lambda: changed)
    assert result.next_step == Failed()
    assert result.webhook_version == WEBHOOK.version


async def test_a_request_without_a_response_is_logged_with_the_reason() -> None:
    _, result = await _attempt(ErrorCode.DNS)
    assert result.attempt.response is None
    assert result.attempt.request
    assert result.attempt.error
    assert result.attempt.error.code is ErrorCode.DNS


async def test_410_names_the_version_of_the_webhook_that_it_was_said_to() -> None:
    _, result = await _attempt(410)
    assert result.next_step == Failed(disables=DisabledReason.GONE)
    assert result.webhook_version == WEBHOOK.version


@pytest.mark.parametrize("failures", [0, 100])
def test_an_interrupted_attempt_uses_up_no_retry_and_knows_nothing(failures: int) -> None:
    clock = ManualClock()
    result = attempts(clock, ScriptedSender()).interrupted(
        a_delivery(WEBHOOK, failures=failures), WEBHOOK
    )
    assert result.next_step == Retry(timedelta(seconds=5))
    assert result.attempt.outcome is AttemptOutcome.INTERRUPTED
    attempt = result.attempt
    assert (attempt.request, attempt.response, attempt.duration) == (None, None, None)
