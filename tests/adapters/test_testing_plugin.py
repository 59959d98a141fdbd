"""The plugin for tests of receivers: what a suite that uses it sees."""

import re
import shutil
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

DOCS = Path(__file__).parents[2] / "docs"
BLOCK = re.compile(r"```python\n# (\w+\.py)\n(.*?)```", re.DOTALL)
SUITE = """
import asyncio
import json
from datetime import UTC, datetime
from urllib.request import urlopen

import pytest

from notification_adapters.testing import LocalService
from notification_core import InvalidSignature, verify_request


def test_a_rotation(notification_service, webhook_receiver):
    before = notification_service.keys
    key_id = notification_service.rotate_key()
    notification_service.deliver(webhook_receiver.url, "job-created", event_id="one")
    (request,) = webhook_receiver.wait_for(1)
    assert request.headers["X-3dverse-Signature-Key-Id"] == key_id
    assert request.event["id"] == "one"
    with urlopen(notification_service.keys_url) as response:
        keys = json.load(response)["keys"]
    assert [key["kid"] for key in keys][0] == key_id
    assert len(keys) == 2
    own = {name: text for name, text in request.headers.items() if "webhook" not in name}
    with pytest.raises(InvalidSignature):
        verify_request(request.body, own, before, now=datetime.now(UTC))


def test_another_service_is_rejected_until_it_is_trusted(webhook_receiver):
    with LocalService() as other:
        assert other.deliver(webhook_receiver.url, "job-created").http_code == 401
        webhook_receiver.trust(other.keys[0])
        assert other.deliver(webhook_receiver.url, "job-created").http_code == 200
    assert [request.rejected is None for request in webhook_receiver.requests] == [False, True]
    assert len(webhook_receiver.events) == 1


def test_inside_of_a_loop(deliver, webhook_receiver):
    async def delivered():
        return await asyncio.to_thread(deliver, webhook_receiver.url, "job-created")

    assert asyncio.run(delivered()).http_code == 200


def test_a_type_that_is_not_in_the_catalogue(deliver, webhook_receiver):
    with pytest.raises(ValueError, match="job-create is not .*job-created"):
        deliver(webhook_receiver.url, "job-create")
"""


def test_the_suite_of_the_guide_and_ours_pass(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The guide's receiver finds its verifier beside it.
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    page = (DOCS / "how-to" / "test-receivers.md").read_text("utf-8")
    for name, code in BLOCK.findall(page):
        pytester.path.joinpath(name).write_text(code)
    pytester.makepyfile(test_service=SUITE)
    for name in ("webhook_verifier.py", "receiver_aiohttp.py"):
        shutil.copy(DOCS / "receivers" / name, pytester.path)
    # What other plugins warn of is not the suite's.
    others = ("-p", "no:asyncio", "-p", "no:xdist")
    # In a process of its own: within ours, what it imports first is forgotten by half afterwards.
    pytester.runpytest_subprocess(*others, "-W", "error").assert_outcomes(passed=7)
