"""What the tests of the API send over and over."""

from typing import Any

from tests.entrypoints.checked_api import ApiResponse, CheckedClient

ENVIRONMENT = "0b6f2e0c-5d0c-4d7e-8a57-2f7a3f0f6f10"
ANOTHER = "6d3e1f50-9a1b-4a53-8a6f-0f1e2d3c4b5a"
WEBHOOKS = f"/environments/{ENVIRONMENT}/webhooks"
EVENTS = f"/environments/{ENVIRONMENT}/events"
SETTINGS = f"/environments/{ENVIRONMENT}/settings"
JSON = {"Content-Type": "application/json"}

DRAFT: dict[str, Any] = {
    "name": "Job results",
    "url": "https://example.com/hooks",
    "events": ["job-completed"],
}
FULL: dict[str, Any] = {
    **DRAFT,
    "method": "put",
    "description": "Tells the ticket system.\nAsk Anna.",
    "disabled_until": "2031-12-24T18:00:00.5Z",
    "custom_headers": {"Authorization": "Bearer 5f1d7a", "X-Tenant": "north"},
    "filter": {"properties": {"data": {"required": ["status"]}}},
    "retry": {"max_retries": 8, "interval": "10s", "backoff": 1.5, "max_interval": "6h"},
    "timeout": "500ms",
}
JOB = {
    "job_id": "c2f1b7de-40a8-4f3b-8f6f-5b8e6d1a9b21",
    "pipeline_id": "7d0a2c34-6c1f-4c7e-9a57-2f7a3f0f6f10",
    "status": "succeeded",
}
EVENT: dict[str, Any] = {"event": "job-completed", "data": JOB}


async def create(
    api: CheckedClient, draft: object = DRAFT, environment: str = ENVIRONMENT
) -> dict[str, Any]:
    created = await api.post(f"/environments/{environment}/webhooks", draft)
    assert created.status == 201
    return dict(created.json)


async def publish(
    api: CheckedClient, events: object, environment: str = ENVIRONMENT
) -> ApiResponse:
    return await api.post(f"/environments/{environment}/events", events)
