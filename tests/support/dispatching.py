"""A process that dispatches, for the length of a block."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.support.assembly import MemoryApp


@asynccontextmanager
async def dispatching(app: MemoryApp) -> AsyncIterator[MemoryApp]:
    """Dispatch for the length of the block, and check in the end what was sent and logged."""
    await app.storage.worker_lock.acquire(app.dispatcher.worker)
    app.direct_dispatch = app.dispatcher.runner
    await app.dispatcher.start()
    try:
        yield app
    finally:
        stopping = asyncio.create_task(app.dispatcher.stop())
        app.faults.end()
        for webhook in app.storage.state.webhooks.values():
            app.sender.respond(webhook.url, 200)
            app.sender.release(webhook.url)
        await app.until(stopping.done, within=5)
        await stopping
    _check_attempts(app)


def _check_attempts(app: MemoryApp) -> None:
    """Every request has an attempt row of its own, and attempts count up without gaps."""
    sent = sorted(
        (headers["webhook-delivery"], int(headers["webhook-attempt"]))
        for headers in (dict(request.headers) for request in app.sender.requests)
    )
    assert len(sent) == len(set(sent))
    logged = defaultdict(list)
    for attempt in app.stored_attempts():
        logged[str(attempt.delivery_id)].append(attempt.number)
    assert all(number in logged[delivery_id] for delivery_id, number in sent)
    for numbers in logged.values():
        assert sorted(numbers) == list(range(1, len(numbers) + 1))
