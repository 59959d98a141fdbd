"""A delivery: what was sent, what came back, and sending it once more."""

from collections.abc import Mapping

from notification_adapters.clock import SystemClock
from notification_core.model.delivery import SentRequest
from notification_entrypoints.console.pages.deliveries import signature_of
from tests.entrypoints.api_services import attempt_of, log_gone, log_success
from tests.entrypoints.console.conftest import ENVIRONMENT, Console
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
