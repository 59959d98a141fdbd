"""The whole system in a script: ``python embed_script.py FOLDER RECEIVER_URL``."""

import asyncio
import sys
from uuid import UUID, uuid4

from notification_entrypoints.embedded import WebhookDraft, migrate, open_notifications, settings

ENVIRONMENT = UUID("0b6f2e0c-5d0c-4d7e-8a57-2f7a3f0f6f10")
SECRET = "change-me-change-me-change-me-32"  # noqa: S105 - an example's


async def main(folder: str, url: str) -> None:
    """Subscribe a receiver to an event, publish one, and wait until it has arrived."""
    chosen = settings(
        DB_URI=f"sqlite:///{folder}/events.sqlite",
        DB_ENCRYPTION_SECRET=SECRET,
        WEBHOOKS_ALLOWED_NETWORKS="127.0.0.0/8",  # the receiver of this example is on loopback
    )
    await migrate(chosen)
    async with open_notifications(chosen) as notifications:
        draft = WebhookDraft(name="me", url=url, events=["job-completed"])
        await notifications.webhooks.create(ENVIRONMENT, draft)
        data = {"job_id": str(uuid4()), "pipeline_id": str(uuid4()), "status": "succeeded"}
        event = notifications.event(ENVIRONMENT, "job-completed", data)
        await notifications.publish([event])
        await notifications.drain()


if __name__ == "__main__":
    match sys.argv[1:]:
        case [folder, url]:
            asyncio.run(main(folder, url))
        case _:
            sys.exit("Usage: embed_script.py FOLDER RECEIVER_URL")
