"""Create a webhook, publish two events, read their delivery status: `use_client.py ENVIRONMENT`.

The API is at NOTIFICATION_API_URL (http://127.0.0.1:3615/api); if authentication is enabled,
NOTIFICATION_API_KEY is a key of scope `write`.
"""

import asyncio
import os
import sys
from uuid import UUID

from notification_client import NewEvent, NotificationClient, WebhookDraft


async def main(environment_id: UUID, url: str, api_key: str | None = None) -> None:
    """Do all of it, and print it."""
    async with NotificationClient(url, api_key=api_key) as client:
        webhook = await client.create_webhook(
            environment_id,
            WebhookDraft(name="CI", url="https://ci.example.com/hook", events=["job-completed"]),
        )
        jobs = ["0b9a4c1e-6f43-4a55-8a4b-6e3cf2f3c001", "0b9a4c1e-6f43-4a55-8a4b-6e3cf2f3c002"]
        pipeline = "7d0a2c34-6c1f-4c7e-9a57-2f7a3f0f6f10"
        published = await client.publish(
            environment_id,
            [
                NewEvent(
                    "job-completed",
                    {"job_id": job, "pipeline_id": pipeline, "status": "succeeded"},
                    event_id=f"{job}-completed",
                )
                for job in jobs
            ],
        )
        for event in published:
            print(event.event_id, "duplicate" if event.duplicate else "stored")
        async for delivery in client.deliveries(webhook.webhook_id):
            print(delivery.delivery_id, delivery.state, delivery.attempt)


if __name__ == "__main__":
    if not sys.argv[1:]:
        sys.exit("Usage: use_client.py ENVIRONMENT_ID")
    asyncio.run(
        main(
            UUID(sys.argv[1]),
            os.environ.get("NOTIFICATION_API_URL", "http://127.0.0.1:3615/api"),
            os.environ.get("NOTIFICATION_API_KEY"),
        )
    )
