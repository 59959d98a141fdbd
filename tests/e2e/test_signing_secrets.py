"""Symmetric signatures on live deliveries, as a published library verifies them."""

from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from notification_core.signing.verification import verify_request
from tests.faults.stage import Api, running
from tests.support.receivers import ReceivedRequest, Receiver


async def new_secret(api: Api, webhook_id: str, **body: object) -> tuple[str, str]:
    made = await api.call("POST", f"webhooks/{webhook_id}/signing-secrets", body)
    return str(made["secret"]), str(made["secret_id"])


def holds(request: ReceivedRequest, secret: str) -> bool:
    try:
        Webhook(secret).verify(request.body, dict(request.headers))
    except WebhookVerificationError:
        return False
    return True


@pytest.mark.parametrize("standard", ["true", "false"])
async def test_a_published_library_verifies_what_is_delivered_through_a_rotation(
    tmp_path: Path, standard: str
) -> None:
    settings = {"WEBHOOKS_STANDARD_SIGNATURE": standard}
    async with Receiver() as receiver, running(tmp_path, **settings) as (_, api):
        webhook_id = await api.subscribe(receiver.url)
        await api.publish("unsigned")
        await receiver.wait_for(1)
        first, _ = await new_secret(api, webhook_id)
        await api.publish("first")
        await receiver.wait_for(2)
        second, second_id = await new_secret(api, webhook_id)
        await api.publish("both")
        await receiver.wait_for(3)
        path = f"{api.base}/webhooks/{webhook_id}/signing-secrets/{second_id}"
        async with api.session.delete(path) as response:
            assert response.status == HTTPStatus.NO_CONTENT
        await api.publish("revoked")
        none, by_first, by_both, left = await receiver.wait_for(4)
        assert [holds(by_first, one) for one in (first, second)] == [True, False]
        assert [holds(by_both, one) for one in (first, second)] == [True, True]
        assert [holds(left, one) for one in (first, second)] == [True, False]
        assert ("webhook-signature" in none.headers) == (standard == "true")
        verify_request(by_both.body, by_both.headers, second, now=datetime.now(UTC))
        key = await api.key()
        for request in receiver.requests:
            verify_request(request.body, request.headers, key, now=datetime.now(UTC))
