"""The API as an HTTP server, whatever is asked of it."""

from uuid import uuid4

from tests.entrypoints.api_examples import create
from tests.entrypoints.api_services import Backstage
from tests.entrypoints.checked_api import CheckedClient


async def test_requests_are_counted_by_route_and_status(
    api: CheckedClient, stage: Backstage
) -> None:
    webhook = await create(api)
    await api.get(f"/webhooks/{webhook['webhook_id']}")
    await api.get(f"/webhooks/{uuid4()}")
    await api.get("/nowhere")
    assert stage.requests == [
        ("/api/environments/{environment_id}/webhooks", 201),
        ("/api/webhooks/{webhook_id}", 200),
        ("/api/webhooks/{webhook_id}", 404),
        ("unmatched", 404),
    ]
