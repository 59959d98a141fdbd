"""A delivery: what was sent, what came back, and sending it once more."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import pytest

from notification_adapters.clock import SystemClock
from notification_core.model.delivery import (
    AttemptError,
    AttemptOutcome,
    ErrorCode,
    Failed,
    SentRequest,
    Succeeded,
)
from notification_core.model.phases import REUSED, Phases
from notification_entrypoints.console.pages.deliveries import signature_of
from tests.entrypoints.api_services import attempt_of, log_gone, log_success
from tests.entrypoints.console.conftest import ENVIRONMENT, Console, Shown
from tests.entrypoints.console.scenes import call, publish, subscribed


async def delivered(console: Console) -> str:
    await subscribed(console)
    await publish(console)
    return str((await log_success(console.stage)).delivery_id)


async def settings_of(console: Console) -> Mapping[str, object]:
    found: Mapping[str, object] = await call(
        console, "GET", f"/environments/{ENVIRONMENT}/settings"
    )
    return found


async def test_shows_request_and_response_side_by_side(console: Console) -> None:
    delivery_id = await delivered(console)
    page = await console.get(console.of_environment(f"/deliveries/{delivery_id}"))
    assert "Delivered with 1 attempt." in page.words
    assert "POST https://example.com/" in page.words
    assert "Authorization ***" in page.words
    assert "Attempt 1 succeeded 204" in page.words
    assert "No signed request was logged." in page.words


async def test_a_failure_says_what_to_do_and_shows_what_was_responded(console: Console) -> None:
    await subscribed(console)
    await publish(console)
    delivery_id = (await log_gone(console.stage)).delivery_id
    page = await console.get(console.of_environment(f"/deliveries/{delivery_id}"))
    assert "410 tells us to send nothing more" in page.words
    assert "Set-Cookie" in page.words
    assert "Only the beginning is stored" in page.words


MS = timedelta(milliseconds=1)


@pytest.mark.parametrize(
    ("phases", "figures", "connection"),
    [
        (
            Phases(2 * MS, 3 * MS, 4 * MS, 105 * MS, 6 * MS),
            ("DNS lookup 2.0 ms", "TCP connection 3.0 ms", "First byte 105 ms", "Reading 6.0 ms"),
            "A new connection was opened.",
        ),
        (REUSED, ("Time First byte 12.5 ms",), "Connection reused"),
    ],
    ids=["new", "reused"],
)
async def test_shows_where_the_time_of_an_attempt_went(
    console: Console, phases: Phases, figures: Sequence[str], connection: str
) -> None:
    page = await shown_with(console, phases)
    assert [each for each in (*figures, connection) if each not in page.words] == []
    assert f"<title>{PICTURE_TITLE}</title><desc>" in page.text
    assert " style=" not in page.text


async def test_the_phase_that_an_attempt_failed_in_is_named(console: Console) -> None:
    error = AttemptError(ErrorCode.TLS, "The server's certificate has expired.")
    failed = {"outcome": AttemptOutcome.FAILED, "error": error, "response": None}
    page = await shown_with(console, Phases(connect=3 * MS, tls=4 * MS), **failed)
    assert "TCP connection 3.0 ms TLS handshake (failed) 4.0 ms" in page.words
    assert "The connection could not be opened." in page.words


async def test_an_attempt_that_was_not_measured_shows_no_phases(console: Console) -> None:
    page = await shown_with(console, None)
    assert "Attempt 1 succeeded 204" in page.words
    assert PICTURE_TITLE not in page.text


PICTURE_TITLE = "Where the time of attempt 1 went"


async def shown_with(console: Console, phases: Phases | None, **fields: Any) -> Shown:
    """Return the page of a delivery whose attempt had these phases."""
    await subscribed(console)
    await publish(console)
    (claimed,) = await console.stage.begin(1)
    attempt = attempt_of(claimed, phases=phases, **fields)
    step = Succeeded() if attempt.error is None else Failed()
    await console.stage.end(attempt, claimed, step)
    return await console.get(console.of_environment(f"/deliveries/{attempt.delivery_id}"))


async def test_it_is_redelivered_once_for_each_form(console: Console) -> None:
    delivery_id = await delivered(console)
    path = console.of_environment(f"/deliveries/{delivery_id}")
    form = await console.get(path)
    key = form.field("idempotency_key")
    page = await console.post(f"{path}/redeliver", idempotency_key=key)
    assert page.url != form.url
    assert "It was redelivered by hand." in page.words
    again = await console.post(f"{path}/redeliver", idempotency_key=key)
    assert again.url == page.url


async def test_what_cannot_be_redelivered_says_why(console: Console) -> None:
    webhook_id = await subscribed(console)
    await publish(console)
    delivery_id = (await log_success(console.stage)).delivery_id
    fields = {"disabled_until": "2999-01-01T00:00:00Z"}
    await call(console, "PATCH", f"/webhooks/{webhook_id}", fields)
    path = console.of_environment(f"/deliveries/{delivery_id}/redeliver")
    page = await console.post(path)
    assert page.status == 409
    assert "Nothing was redelivered: The webhook is disabled." in page.words


async def test_is_not_shown_in_another_environment(console: Console) -> None:
    delivery_id = await delivered(console)
    other = console.of_environment(f"/deliveries/{delivery_id}").replace("0b6f2e0c", "1b6f2e0c")
    assert (await console.get(other)).status == 404
    assert (await console.post(f"{other}/redeliver")).status == 404
    nothing = console.of_environment("/deliveries/00000000-0000-7000-8000-000000000000")
    assert (await console.get(nothing)).status == 404


async def test_the_signature_of_a_logged_request_is_verified(console: Console) -> None:
    await subscribed(console)
    event_id = await publish(console)
    settings = await settings_of(console)
    (claimed,) = await console.stage.begin(1)
    (key,) = await console.stage.storage.signing_keys.keys_of([ENVIRONMENT])
    at = SystemClock().now()
    stamp = str(int(at.timestamp()))
    signature = key.private_key.sign(stamp.encode() + claimed.body).hex()
    headers = (
        ("X-Signature", signature),
        ("X-Signature-Timestamp", stamp),
        ("X-Signature-Key-Id", key.key_id),
    )
    request = SentRequest("post", "https://example.com/", headers)
    attempt = attempt_of(claimed, request=request, started_at=at)
    logged = {"request": {"headers": dict(headers)}, "started_at": attempt.started_at.isoformat()}
    body = claimed.body.decode()
    assert event_id in body
    assert signature_of(logged, body, settings)[0] is True
    assert signature_of(logged, body + " ", settings)[0] is False
    assert signature_of(logged, None, settings)[0] is None
    retired = {**dict(headers), "X-Signature-Key-Id": "another", "X-Signature": "00" * 64}
    told = signature_of({**logged, "request": {"headers": retired}}, body, settings)
    assert told == (None, "It was signed with a key that has been retired since.")
