"""What customers read of the API: logs and settings."""

from typing import Any
from uuid import UUID

from notification_core.model.public_keys import parse_public_key
from notification_core.signing.verification import verify_signature
from tests.entrypoints.api_examples import ENVIRONMENT, EVENT, create, publish
from tests.entrypoints.api_services import Backstage, log_gone, log_success
from tests.entrypoints.checked_api import ApiResponse, CheckedClient


class TestLogs:
    async def test_an_attempt_is_told_whole(self, api: CheckedClient, stage: Backstage) -> None:
        webhook = await create(api)
        await publish(api, {**EVENT, "event_id": "job-7"})
        attempt = await log_gone(stage)
        (entry,) = (await api.get(f"/webhooks/{webhook['webhook_id']}/logs")).json
        assert entry.pop("started_at").endswith("Z")
        assert entry == {
            "log_id": str(attempt.log_id),
            "webhook_id": webhook["webhook_id"],
            "delivery_id": str(attempt.delivery_id),
            "event_id": "job-7",
            "event": "job-completed",
            "attempt": 1,
            "outcome": "failed",
            "error": {"code": "gone", "message": "The receiver responded with 410."},
            "request": {
                "method": "post",
                "url": "https://example.com/",
                "headers": {"Authorization": "***"},
            },
            "response": {
                "http_code": 410,
                "headers": {"Set-Cookie": "a=1, b=2"},
                "body": "gone \ufffd",
                "truncated": True,
            },
            "duration_ms": 12.5,
        }

    async def test_a_log_is_read_page_by_page_newest_first(
        self, api: CheckedClient, stage: Backstage
    ) -> None:
        webhook = await create(api)
        written = await log_successes(api, stage, 7)
        path = f"/webhooks/{webhook['webhook_id']}/logs?limit=3"
        pages = [[entry["log_id"] for entry in page] for page in await all_pages(api, path)]
        assert [len(page) for page in pages] == [3, 3, 1]
        assert [log_id for page in pages for log_id in page] == written[::-1]

    async def test_a_page_that_ends_with_the_log_has_no_next_one(
        self, api: CheckedClient, stage: Backstage
    ) -> None:
        webhook = await create(api)
        await log_successes(api, stage, 3)
        page = await api.get(f"/webhooks/{webhook['webhook_id']}/logs?limit=3")
        assert len(page.json) == 3
        assert "Link" not in page.headers

    async def test_a_page_has_fifty_entries_unless_told_otherwise(
        self, api: CheckedClient, stage: Backstage
    ) -> None:
        webhook = await create(api)
        await log_successes(api, stage, 51)
        page = await api.get(f"/webhooks/{webhook['webhook_id']}/logs")
        assert len(page.json) == 50
        assert 'rel="next"' in page.headers["Link"]

    async def test_what_is_logged_meanwhile_does_not_move_the_next_page(
        self, api: CheckedClient, stage: Backstage
    ) -> None:
        webhook = await create(api)
        written = await log_successes(api, stage, 2)
        first = await api.get(f"/webhooks/{webhook['webhook_id']}/logs?limit=1")
        await log_successes(api, stage, 1)
        second = await api.get(next_path(first))
        assert [entry["log_id"] for entry in second.json] == [written[0]]


async def log_successes(api: CheckedClient, stage: Backstage, count: int) -> list[str]:
    await publish(api, [EVENT] * count)
    return [str((await log_success(stage)).log_id) for _ in range(count)]


async def all_pages(api: CheckedClient, path: str) -> list[list[dict[str, Any]]]:
    pages = []
    while path:
        page = await api.get(path)
        pages.append(page.json)
        path = next_path(page)
    return pages


def next_path(page: ApiResponse) -> str:
    """Return the path of the next page below the API's base, nothing if there is none."""
    return page.headers.get("Link", "").removeprefix("</api").removesuffix('>; rel="next"')


class TestSettings:
    async def test_every_form_of_the_key_is_the_same_key_and_verifies(
        self, api: CheckedClient, stage: Backstage
    ) -> None:
        settings = (await api.get(f"/environments/{ENVIRONMENT}/settings")).json
        key = settings["public_verification_key"]
        assert settings["verification_keys"] == [key]
        forms = [key[form] for form in ("hex", "base64", "pem", "whpk")]
        assert len({parse_public_key(form) for form in forms}) == 1
        (signing_key,) = await stage.storage.signing_keys.keys_of([UUID(ENVIRONMENT)])
        now = stage.application.clock.now()
        second = int(now.timestamp())
        signature = signing_key.private_key.sign(f"{second}{{}}".encode()).hex()
        verify_signature(b"{}", signature, str(second), forms, now=now)

    async def test_it_says_how_requests_are_signed(self, api: CheckedClient) -> None:
        settings = (await api.get(f"/environments/{ENVIRONMENT}/settings")).json
        assert settings["public_verification_key"]["signature"] == {
            "header": "X-Signature",
            "timestamp_header": "X-Signature-Timestamp",
            "key_id_header": "X-Signature-Key-Id",
            "encoding": "hex",
            "signed_content": "timestamp + body",
            "timestamp_unit": "seconds",
            "tolerance_seconds": 300,
            "standard_webhooks": True,
        }

    async def test_the_key_stays_the_same(self, api: CheckedClient) -> None:
        path = f"/environments/{ENVIRONMENT}/settings"
        assert (await api.get(path)).json == (await api.get(path)).json


async def test_head_tells_what_get_would_without_the_body(api: CheckedClient) -> None:
    webhook = await create(api)
    paths = {
        f"/webhooks/{webhook['webhook_id']}": 200,
        f"/environments/{ENVIRONMENT}/webhooks": 200,
        f"/webhooks/{ENVIRONMENT}": 404,
    }
    for path, status in paths.items():
        got = await api.get(path)
        async with api.session.head(f"{api.url}/api{path}") as head:
            assert (head.status, await head.read()) == (status, b"")
            for name in ("Content-Type", "Content-Length", "ETag"):
                assert head.headers.get(name) == got.headers.get(name)
