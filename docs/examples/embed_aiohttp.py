"""An aiohttp service with a table of its own, and one transaction around it and its events.

``DATABASE=… RECEIVER=… PORT=… python embed_aiohttp.py``: ``POST /jobs/{job_id}`` stores a job
and publishes an event, both or neither; webhooks are managed below ``/notifications``.
"""

import asyncio
import os
import signal
from uuid import UUID

import sqlalchemy as sa
from aiohttp import web
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from notification_entrypoints.embedded import (
    Notifications,
    WebhookDraft,
    migrate,
    open_notifications,
    settings,
)

ENVIRONMENT = UUID("0b6f2e0c-5d0c-4d7e-8a57-2f7a3f0f6f10")
PIPELINE = "7d0a2c34-6c1f-4c7e-9a57-2f7a3f0f6f10"
DATABASE = os.environ["DATABASE"]  # sqlite:///file, or postgresql://…
DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg"}

metadata = sa.MetaData()
jobs = sa.Table("jobs", metadata, sa.Column("job_id", sa.Text, primary_key=True))


def service(engine: AsyncEngine, notifications: Notifications) -> web.Application:
    """Return the service; the API of the notifications is a part of it."""

    async def complete_job(request: web.Request) -> web.Response:
        job_id = request.match_info["job_id"]
        data = {"job_id": job_id, "pipeline_id": PIPELINE, "status": "succeeded"}
        event = notifications.event(ENVIRONMENT, "job-completed", data)
        try:
            async with engine.begin() as connection:
                await notifications.publish([event], connection=connection)
                await connection.execute(sa.insert(jobs).values(job_id=job_id))
        except sa.exc.IntegrityError:
            # Rolled back with the transaction: the event is not delivered.
            raise web.HTTPConflict(text="This job was completed before.") from None
        return web.json_response({"event_id": event.event_id}, status=201)

    app = web.Application()
    app.router.add_post("/jobs/{job_id}", complete_job)
    app.add_subapp("/notifications", notifications.api())
    return app


async def main() -> None:
    """Serve until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    kind, _, place = DATABASE.partition(":")
    engine = create_async_engine(f"{DRIVERS[kind]}:{place}")
    async with engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
    chosen = settings(
        DB_URI=DATABASE,
        DB_ENCRYPTION_SECRET="change-me-change-me-change-me-32",  # noqa: S106 - an example's
        API_AUTH="none",  # this service is on loopback; elsewhere, api_key or a check of your own
        WEBHOOKS_ALLOWED_NETWORKS="127.0.0.0/8",
    )
    await migrate(chosen)
    async with open_notifications(chosen) as notifications:
        draft = WebhookDraft(name="us", url=os.environ["RECEIVER"], events=["job-completed"])
        await notifications.webhooks.create(ENVIRONMENT, draft)
        runner = web.AppRunner(service(engine, notifications))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", int(os.environ["PORT"])).start()
        await stop.wait()
        await runner.cleanup()
    await engine.dispose()


if __name__ == "__main__":
    asyncio.run(main())
