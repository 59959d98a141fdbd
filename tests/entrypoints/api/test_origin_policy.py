"""What browsers, caches and proxies are told, and what of them is believed."""

from collections.abc import AsyncIterator, Mapping
from ipaddress import ip_network
from uuid import UUID

import pytest
from attrs import frozen

from notification_adapters.clock import SystemClock
from notification_adapters.memory.clock import ManualClock
from notification_adapters.memory.credentials import MemoryCredentials
from notification_core.model.caller import Caller, Scope
from notification_entrypoints.api.security.authentication import Callers
from tests.entrypoints.api_examples import DRAFT, ENVIRONMENT, SETTINGS, WEBHOOKS, create
from tests.entrypoints.api_services import Backstage, in_memory
from tests.entrypoints.checked_api import ApiResponse, CheckedClient, called

ROTATE = f"/environments/{ENVIRONMENT}/settings/verification-keys"
LOOPBACK = (ip_network("127.0.0.0/8"),)
PAGE = "https://console.example.com"
NAMED = {"api.cors_origins": (PAGE,)}

pytestmark = pytest.mark.parametrize("stage", [in_memory], indirect=True)
"""Storage makes no difference to what is tested here."""


async def ask(stage: Backstage, headers: Mapping[str, str], **settings: object) -> ApiResponse:
    """Read webhooks with these headers, from an API with these settings."""
    changed = {f"api.{name}": value for name, value in settings.items()}
    async with called(stage.but(settings=changed)) as api:
        return await api.get(WEBHOOKS, headers=headers)


class TestEveryResponse:
    @pytest.mark.parametrize("path", [WEBHOOKS, "/webhooks/events", "/nowhere", "/webhooks/1"])
    async def test_is_what_it_says_and_is_stored_by_nobody(
        self, api: CheckedClient, path: str
    ) -> None:
        response = await api.get(path)
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Cache-Control"] == "no-store"

    async def test_of_the_page_and_the_key_set_says_itself_how_long_it_is_good(
        self, api: CheckedClient
    ) -> None:
        await api.get(f"/environments/{ENVIRONMENT}/settings")
        keys = await api.get(f"/environments/{ENVIRONMENT}/jwks.json")
        assert keys.headers["Cache-Control"] == "public, max-age=300"
        async with api.session.get(f"{api.url}/api/docs") as page:
            assert page.headers["Cache-Control"] == "no-cache"
            assert page.headers["X-Content-Type-Options"] == "nosniff"


class TestBehindAProxy:
    SECURE: Mapping[str, str] = {"X-Forwarded-Proto": "https"}

    async def test_that_is_ours_tls_is_asked_for_again(self, stage: Backstage) -> None:
        response = await ask(stage, self.SECURE, trusted_proxies=LOOPBACK)
        assert response.headers["Strict-Transport-Security"] == "max-age=31536000"

    async def test_that_is_not_ours_nothing_is_believed(self, stage: Backstage) -> None:
        elsewhere = (ip_network("10.0.0.0/8"),)
        for proxies in ((), elsewhere):
            response = await ask(stage, self.SECURE, trusted_proxies=proxies)
            assert "Strict-Transport-Security" not in response.headers


class TestPagesFromElsewhere:
    async def test_may_not_read_unless_they_are_named(self, stage: Backstage) -> None:
        for origins in ((), ("https://other.example.com",)):
            response = await ask(stage, {"Origin": PAGE}, cors_origins=origins)
            assert "Access-Control-Allow-Origin" not in response.headers

    async def test_that_are_named_may_read(self, stage: Backstage) -> None:
        response = await ask(stage, {"Origin": PAGE}, cors_origins=(PAGE,))
        assert response.headers["Access-Control-Allow-Origin"] == PAGE
        assert "Origin" in response.headers["Vary"]
        assert "ETag" in response.headers["Access-Control-Expose-Headers"]
        assert "Access-Control-Allow-Credentials" not in response.headers
        response = await ask(stage, {"Origin": PAGE}, cors_origins=("*",))
        assert response.headers["Access-Control-Allow-Origin"] == "*"

    async def test_that_are_named_are_told_before_what_they_may_send(
        self, stage: Backstage
    ) -> None:
        headers = {
            "Origin": PAGE,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type",
        }
        async with called(stage.but(settings=NAMED)) as api:
            asked = await api.session.options(f"{api.url}/api{WEBHOOKS}", headers=headers)
        assert asked.status == 204
        assert asked.headers["Access-Control-Allow-Origin"] == PAGE
        assert "POST" in asked.headers["Access-Control-Allow-Methods"]
        assert "Authorization" in asked.headers["Access-Control-Allow-Headers"]

    async def test_may_ask_without_being_told(self, stage: Backstage) -> None:
        response = await ask(stage, {"Origin": PAGE})
        assert response.status == 200
        assert "Access-Control-Allow-Origin" not in response.headers

    async def test_see_why_they_are_refused(self, stage: Backstage) -> None:
        async with called(stage.but(credentials=(), settings=NAMED)) as api:
            response = await api.get(WEBHOOKS, headers={"Origin": PAGE})
        assert response.status == 401
        assert response.headers["Access-Control-Allow-Origin"] == PAGE


class TestAnApiThatAsksNobody:
    @pytest.fixture
    async def api(self, stage: Backstage) -> AsyncIterator[CheckedClient]:
        async with called(stage.application) as client:
            yield client

    @pytest.mark.parametrize("host", ["evil.example:3615", "127.0.0.1.evil.example", "10.0.0.1"])
    async def test_is_not_called_by_a_name_that_somebody_pointed_here(
        self, api: CheckedClient, host: str
    ) -> None:
        response = await api.get(WEBHOOKS, headers={"Host": host})
        assert (response.status, response.json["error_code"]) == (421, 1606)

    @pytest.mark.parametrize("host", ["localhost:3615", "127.0.0.1", "[::1]:3615"])
    async def test_is_called_by_the_names_of_this_host(self, api: CheckedClient, host: str) -> None:
        assert (await api.get(WEBHOOKS, headers={"Host": host})).status == 200

    async def test_is_called_by_any_name_through_a_proxy_of_ours(self, stage: Backstage) -> None:
        headers = {"Host": "api.example.com"}
        response = await ask(stage, headers, trusted_proxies=LOOPBACK)
        assert response.status == 200

    async def test_lets_no_page_change_anything(self, api: CheckedClient) -> None:
        await create(api)
        for path in (ROTATE, WEBHOOKS):
            response = await api.call("POST", path, headers={"Origin": PAGE}, json=None)
            assert (response.status, response.json["error_code"]) == (403, 1607)
            response = await api.call("POST", path, headers={"Origin": "null"})
            assert response.status == 403

    @pytest.mark.parametrize("origin", ["http://[", "http://[::1", "https://\u00e9", ""])
    async def test_an_origin_that_is_none_is_foreign(self, api: CheckedClient, origin: str) -> None:
        response = await api.call("POST", WEBHOOKS, headers={"Origin": origin}, json=DRAFT)
        assert response.status == 403

    async def test_lets_no_page_send_a_form_without_an_origin(self, api: CheckedClient) -> None:
        headers = {"Sec-Fetch-Site": "cross-site"}
        response = await api.call("POST", WEBHOOKS, headers=headers, json=DRAFT)
        assert (response.status, response.json["error_code"]) == (403, 1607)

    async def test_lets_its_own_page_try_it_out(self, api: CheckedClient) -> None:
        response = await api.call("POST", ROTATE, headers={"Origin": api.url})
        assert response.status == 201

    async def test_on_a_network_is_called_by_any_name(self, stage: Backstage) -> None:
        response = await ask(stage, {"Host": "api.example.com"}, server_host="0.0.0.0")  # noqa: S104 - nothing binds
        assert response.status == 200


FOREIGN: list[dict[str, str]] = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Origin": PAGE},
    {"Origin": "null", "Sec-Fetch-Site": "cross-site"},
]


class TestTheFirstKeyOfAnEnvironment:
    @pytest.mark.parametrize("headers", FOREIGN)
    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    @pytest.mark.parametrize("credentials", [(), None])
    async def test_is_not_made_for_a_page_of_another_site(
        self, stage: Backstage, headers: dict[str, str], method: str, credentials: tuple[()] | None
    ) -> None:
        anybody = Callers(None, SystemClock())
        async with called(stage.but(credentials=credentials), anybody) as api:
            url = f"{api.url}/api{SETTINGS}"
            async with api.session.request(method, url, headers=headers) as response:
                assert response.status == 403
            assert not await stage.storage.signing_keys.keys_of([UUID(ENVIRONMENT)])
            assert not await stage.storage.audit.page(UUID(ENVIRONMENT), 10)
            # Once there is one it is public, and nothing is made.
            assert (await api.get(SETTINGS)).status == 200
            assert (await api.get(SETTINGS, headers=headers)).status == 200

    @pytest.mark.parametrize(
        "headers",
        [
            {"Sec-Fetch-Site": "same-origin"},
            {"Sec-Fetch-Site": "none"},
            {"Origin": PAGE, "Sec-Fetch-Site": "cross-site"},
        ],
    )
    async def test_is_made_for_a_page_that_may_call(
        self, stage: Backstage, headers: dict[str, str]
    ) -> None:
        async with called(stage.but(settings=NAMED)) as api:
            assert (await api.get(SETTINGS, headers=headers)).status == 200
        (entry,) = await stage.storage.audit.page(UUID(ENVIRONMENT), 10)
        assert (entry.action, entry.actor) == ("getSettings", "anybody")


@frozen
class Hop:
    """What proxies say, who is believed, and who it then was."""

    said: str
    proxies: str
    counted: str


HOPS = {
    "no proxy is believed": Hop("10.1.1.1", "", "127.0.0.1"),
    "one is": Hop("10.1.1.1", "127.0.0.0/8", "10.1.1.1"),
    "two are": Hop("10.1.1.1, 10.2.2.2", "127.0.0.0/8,10.2.0.0/16", "10.1.1.1"),
    "what was said before them is not": Hop("1.1.1.1, 10.1.1.1", "127.0.0.0/8", "10.1.1.1"),
    "nonsense ends it": Hop("10.1.1.1, evil", "127.0.0.0/8", "127.0.0.1"),
    "all of them": Hop("127.0.0.2, 127.0.0.3", "127.0.0.0/8", "127.0.0.2"),
    "IPv6 by its network": Hop("2a00:1:2:3:4::5", "127.0.0.0/8", "2a00:1:2:3::9"),
    "IPv4 in IPv6": Hop("::ffff:10.1.1.1", "127.0.0.0/8", "10.1.1.1"),
}


class TestRequestsOfOne:
    @pytest.mark.parametrize("hop", HOPS.values(), ids=HOPS)
    async def test_are_counted_by_the_address_that_a_believed_proxy_tells(
        self, stage: Backstage, hop: Hop
    ) -> None:
        proxies = tuple(ip_network(each) for each in hop.proxies.split(",") if each)
        callers = Callers(None, ManualClock(), proxies, requests_per_second=1)
        async with called(stage.application, callers) as api:
            first = await api.get(WEBHOOKS, headers={"X-Forwarded-For": hop.said})
            again = {"X-Forwarded-For": hop.counted} if hop.counted != "127.0.0.1" else {}
            second = await api.get(WEBHOOKS, headers=again)
        assert (first.status, second.status) == (200, 429)
        assert second.json["error_code"] == 1605
        assert second.headers["Retry-After"] == "1"

    async def test_are_counted_by_the_credential_if_there_is_one(self, stage: Backstage) -> None:
        known = {name: Caller(name, Scope.ADMIN) for name in ("anna", "ben")}
        credentials = MemoryCredentials(known)
        callers = Callers((credentials,), ManualClock(), requests_per_second=2)
        async with called(stage.but(credentials=(credentials,)), callers) as api:

            async def asks(who: str) -> int:
                headers = {"Authorization": f"Bearer {who}"}
                return (await api.get(WEBHOOKS, headers=headers)).status

            assert [await asks("anna") for _ in range(3)] == [200, 200, 429]
            assert await asks("ben") == 200
            key_set = f"/environments/{ENVIRONMENT}/jwks.json"
            assert [(await api.get(key_set)).status for _ in range(3)] == [200, 200, 429]

    async def test_are_as_many_as_they_like_without_a_limit(self, api: CheckedClient) -> None:
        assert {(await api.get(WEBHOOKS)).status for _ in range(50)} == {200}


async def test_a_draft_is_still_read_as_json_only(api: CheckedClient) -> None:
    # What a form of a foreign page could send without being asked first.
    response = await api.call(
        "POST", WEBHOOKS, data=str(DRAFT), headers={"Content-Type": "text/plain"}
    )
    assert response.status == 415
