"""A FastAPI service that publishes, and does not mount the API.

``DATABASE=… RECEIVER=… PORT=… python embed_fastapi.py``: ``POST /jobs/{job_id}`` publishes
that a job has completed. The same id again is a duplicate, and is not sent.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated
from uuid import UUID

import uvicorn
from fastapi import Depends, FastAPI, Request

from notification_entrypoints.embedded import (
    Notifications,
    WebhookDraft,
    migrate,
    open_notifications,
    settings,
)

ENVIRONMENT = UUID("0b6f2e0c-5d0c-4d7e-8a57-2f7a3f0f6f10")
PIPELINE = "7d0a2c34-6c1f-4c7e-9a57-2f7a3f0f6f10"


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Publish and deliver for as long as the service runs."""
    chosen = settings(
        DB_URI=os.environ["DATABASE"],
        DB_ENCRYPTION_SECRET="change-me-change-me-change-me-32",  # noqa: S106 - an example's
        WEBHOOKS_ALLOWED_NETWORKS="127.0.0.0/8",
    )
    await migrate(chosen)
    async with open_notifications(chosen) as notifications:
        draft = WebhookDraft(name="us", url=os.environ["RECEIVER"], events=["job-completed"])
        await notifications.webhooks.create(ENVIRONMENT, draft)
        app.state.notifications = notifications
        yield


app = FastAPI(lifespan=lifespan)


def notifications_of(request: Request) -> Notifications:
    """Return what :func:`lifespan` opened."""
    notifications: Notifications = request.app.state.notifications
    return notifications


@app.post("/jobs/{job_id}", status_code=202)
async def complete_job(
    job_id: UUID, notifications: Annotated[Notifications, Depends(notifications_of)]
) -> dict[str, bool]:
    """Publish that a job has completed; return whether it was published before."""
    data = {"job_id": str(job_id), "pipeline_id": PIPELINE, "status": "succeeded"}
    event = notifications.event(ENVIRONMENT, "job-completed", data, event_id=str(job_id))
    (published,) = await notifications.publish([event])
    return {"told_before": published.duplicate}


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ["PORT"]), log_level="warning")
