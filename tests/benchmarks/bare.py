"""A bare aiohttp handler, the least that an API on it can cost; run as a process of its own.

``python -m tests.benchmarks.bare PORT_FILE``: GET answers a webhook as JSON, POST reads one and
answers it. Nothing is validated, stored or looked up.
"""

import asyncio
import sys
from pathlib import Path

import uvloop
from aiohttp import web

WEBHOOK = {
    "webhook_id": "019ab5c2-7a10-7c31-9f04-6a3d7e2b1c55",
    "environment_id": "0b6f2e0c-5d0c-4d7e-8a57-2f7a3f0f6f10",
    "name": "Job results",
    "url": "https://example.com/hooks/jobs",
    "events": ["job-completed", "pipeline-completed"],
    "created_at": "2026-11-24T09:30:00.125000Z",
    "updated_at": "2026-11-24T09:30:00.125000Z",
    "method": "post",
    "description": "Tells the ticket system.",
}


async def read(_: web.Request) -> web.Response:
    """Answer with a webhook."""
    return web.json_response(WEBHOOK)


async def write(request: web.Request) -> web.Response:
    """Answer with what came."""
    return web.json_response(await request.json(), status=201)


async def main(port_file: Path) -> None:
    """Serve until killed, and say in a file on which port."""
    app = web.Application()
    app.add_routes([web.get("/{path:.*}", read), web.post("/{path:.*}", write)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port_file.write_text(str(runner.addresses[0][1]))
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main(Path(sys.argv[1])))
