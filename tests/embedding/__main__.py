"""Run the Django project of docs/examples, and the contract suites on a storage of one's own.

``nox -s embedding``. Django and Celery run as processes beside a server; the outbox has to deliver
exactly what was committed, also what was committed while the API was down.
"""

import asyncio
import os
import subprocess
import sys
from contextlib import AsyncExitStack
from http import HTTPStatus
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID, uuid4

import aiohttp

from notification_client import NotificationClient, WebhookDraft
from tests.support.ports import free_ports
from tests.support.receivers import Receiver
from tests.support.services import running, until_ok
from tests.support.waiting import until

CHECKOUT = Path(__file__).parents[2]
EXAMPLES = CHECKOUT / "docs" / "examples"
ENVIRONMENT = UUID("0b6f2e0c-5d0c-4d7e-8a57-2f7a3f0f6f10")
# A broker that needs no server: Celery's messages are files.
SETTINGS = """\
import os

from django_jobs.settings import *

CELERY_BROKER_URL = "filesystem://"
CELERY_BROKER_TRANSPORT_OPTIONS = {
    name: os.environ["MESSAGES"] for name in ("data_folder_in", "data_folder_out", "control_folder")
}
CELERY_BEAT_SCHEDULE["send the outbox"]["schedule"] = 1.0
"""


async def django_project(folder: Path) -> None:
    """Complete jobs while the API is up, down and up again; every one arrives, once."""
    api, ops, port = free_ports(3)
    (messages := folder / "messages").mkdir()
    (folder / "local_settings.py").write_text(SETTINGS)
    url = f"http://127.0.0.1:{api}/api"
    variables = {
        "DATABASE": str(folder / "jobs.sqlite3"),
        "DJANGO_SETTINGS_MODULE": "local_settings",
        "MESSAGES": str(messages),
        "NOTIFICATION_API_URL": url,
        "NOTIFICATION_ENVIRONMENT": str(ENVIRONMENT),
        "PYTHONPATH": os.pathsep.join([str(folder), str(EXAMPLES)]),
        "SECRET_KEY": "for-this-test-only",
    }
    manage = (sys.executable, "-m", "django")
    server = ("notification-management", "up", "--data", str(folder))
    places = {"API_SERVER_PORT": str(api), "OPS_SERVER_PORT": str(ops)}
    worker = ("celery", "-A", "django_jobs.celery", "worker", "--beat", "--pool=solo")
    async with running(folder, (*manage, "migrate", "--run-syncdb"), variables) as migration:
        assert await migration.wait() == 0
    ready = f"http://127.0.0.1:{ops}/readyz"
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        receiver, http = await enter(Receiver()), await enter(aiohttp.ClientSession())
        django = (*manage, "runserver", "--noreload", str(port))
        await enter(running(folder, django, variables))
        await enter(running(folder, (*worker, f"--schedule={folder / 'beat'}"), variables))
        jobs = f"http://127.0.0.1:{port}/jobs"
        await until("Django responds", lambda: _status(http, "GET", jobs))
        async with running(folder, server, places):
            await until_ok(http, ready)
            async with NotificationClient(url) as client:
                draft = WebhookDraft(name="jobs", url=receiver.url, events=["job-completed"])
                await client.create_webhook(ENVIRONMENT, draft)
            job = uuid4()
            assert await _status(http, "POST", f"{jobs}/{job}") == HTTPStatus.CREATED
            await receiver.wait_for(1)
            assert await _status(http, "POST", f"{jobs}/{job}") == HTTPStatus.CONFLICT
        other = uuid4()
        assert await _status(http, "POST", f"{jobs}/{other}") == HTTPStatus.CREATED
        async with running(folder, server, places):
            await until_ok(http, ready)
            first, second = await receiver.wait_for(2)
            assert str(job).encode() in first.body
            assert str(other).encode() in second.body
            assert len(receiver.requests) == len((job, other))
    print("Django and Celery: both jobs arrived, the one that was rolled back did not.")


async def _status(http: aiohttp.ClientSession, method: str, url: str) -> int | None:
    try:
        async with http.request(method, url) as response:
            return response.status
    except aiohttp.ClientError:
        return None


def contract_suites() -> None:
    """Run the contract suites on the storage of own_storage.py."""
    own = {
        "TEST_STORAGE": "own_storage_contract:opened",
        "PYTHONPATH": str(EXAMPLES),
        "PYTHONSAFEPATH": "1",
    }
    suites = ("tests/contracts", "-q", "-k", "own_storage_contract")
    command = (sys.executable, "-m", "pytest", *suites)
    subprocess.run(command, cwd=CHECKOUT, env=os.environ | own, check=True)  # noqa: S603 - ours


def main() -> None:
    """Run both; fail with what is wrong."""
    with TemporaryDirectory() as folder:
        try:
            asyncio.run(django_project(Path(folder)))
        except BaseException:
            for log in Path(folder).glob("*.log"):
                print(f"---- {log.name}", log.read_text()[-3000:], sep="\n")
            raise
    contract_suites()


if __name__ == "__main__":
    main()
