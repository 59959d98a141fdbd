"""What tests of the console do by the API, to have something to show."""

from typing import Any, cast
from uuid import uuid4

from tests.entrypoints.console.conftest import ENVIRONMENT, Console

WEBHOOK = {"name": "Receiver", "url": "https://example.com/hook", "events": ["job-created"]}


async def call(console: Console, method: str, path: str, json: object = None) -> Any:
    """Call the API, and return what it says."""
    url = f"{console.url}/api{path}"
    async with console.session.request(method, url, json=json) as response:
        assert response.ok, await response.text()
        return cast("Any", await response.json()) if response.status != 204 else None


async def subscribed(console: Console, **fields: Any) -> str:
    """Create a webhook for one type of events, and return its id."""
    path = f"/environments/{ENVIRONMENT}/webhooks"
    made = await call(console, "POST", path, {**WEBHOOK, **fields})
    return str(made["webhook_id"])


async def get_webhook(console: Console, webhook_id: str) -> Any:
    return await call(console, "GET", f"/webhooks/{webhook_id}")


async def publish(console: Console, **fields: Any) -> str:
    """Publish an event and return its id."""
    event = {"event_id": str(uuid4()), "event": "job-created", "data": {}, **fields}
    published = await call(console, "POST", f"/environments/{ENVIRONMENT}/events", event)
    return str(published["event_id"])
