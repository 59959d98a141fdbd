"""What sends in a running process."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from notification_adapters.http.aiohttp import AiohttpSender
from notification_adapters.http.native import NativeSender
from notification_core.errors import InvalidSettings
from notification_core.model.delivery import ErrorCode
from notification_core.ports.sender import HttpSender
from notification_entrypoints.bootstrap.http_sender import choose_sender
from notification_entrypoints.config.settings import load_settings
from notification_entrypoints.observability.metrics import Metrics
from tests.support.certificates import Authority
from tests.support.egress_proxy import ForwardProxy
from tests.support.receivers import Receiver
from tests.support.sending import failure, send

REQUIRED = {"DB_ENCRYPTION_SECRET": "0123456789abcdef0123456789abcdef"}


@asynccontextmanager
async def chosen_by(name: str, **environ: str) -> AsyncIterator[HttpSender]:
    settings = load_settings({**REQUIRED, "WEBHOOKS_SENDER": name, **environ})
    sender = choose_sender(settings, Metrics("1", "").phase_finished)
    yield sender
    await sender.close()


@pytest.fixture
def without_httptools(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [
        name for name in sys.modules if name.startswith("notification_adapters.http.native")
    ]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "httptools", None)


@pytest.mark.parametrize(
    ("name", "kind"),
    [("auto", NativeSender), ("native", NativeSender), ("aiohttp", AiohttpSender)],
)
async def test_the_setting_chooses_the_sender(name: str, kind: type[HttpSender]) -> None:
    async with chosen_by(name) as sender:
        assert type(sender) is kind


@pytest.mark.usefixtures("without_httptools")
async def test_auto_does_without_httptools_where_it_is_not_installed() -> None:
    async with chosen_by("auto") as sender:
        assert type(sender) is AiohttpSender


@pytest.mark.usefixtures("without_httptools")
async def test_a_sender_that_is_asked_for_and_not_installed_is_a_wrong_setting() -> None:
    with pytest.raises(
        InvalidSettings, match=r"httptools.*notification-management\[native\]"
    ) as wrong:
        async with chosen_by("native"):
            pass
    assert [detail.field for detail in wrong.value.details] == ["WEBHOOKS_SENDER"]


@pytest.mark.parametrize("name", ["native", "aiohttp"])
async def test_receivers_are_trusted_whose_authority_the_file_names_and_no_other(
    name: str, tmp_path: Path
) -> None:
    authority, stranger = Authority(tmp_path / "ours"), Authority(tmp_path / "theirs")
    authorities = tmp_path / "authorities.pem"
    authorities.write_text(authority.certificate)
    settings = {"WEBHOOKS_CA_FILE": str(authorities), "WEBHOOKS_ALLOWED_NETWORKS": "127.0.0.0/8"}
    async with (
        chosen_by(name, **settings) as sender,
        Receiver(ssl_context=authority.server("localhost")) as ours,
        Receiver(ssl_context=stranger.server("localhost")) as theirs,
    ):
        assert (await send(sender, f"https://localhost:{ours.port}/")).http_code == 200
        error = await failure(sender, f"https://localhost:{theirs.port}/")
    assert error.code is ErrorCode.TLS


@pytest.mark.parametrize("content", [None, "", "no certificate"])
async def test_a_file_that_names_no_authority_is_a_wrong_setting(
    tmp_path: Path, content: str | None
) -> None:
    authorities = tmp_path / "authorities.pem"
    if content is not None:
        authorities.write_text(content)
    with pytest.raises(InvalidSettings, match=r"authorities\.pem', but must be a file of PEM"):
        async with chosen_by("auto", WEBHOOKS_CA_FILE=str(authorities)):
            pass


@pytest.mark.parametrize("name", ["native", "aiohttp"])
async def test_requests_leave_through_the_proxy_that_the_settings_name(name: str) -> None:
    async with ForwardProxy() as proxy, Receiver() as receiver:
        through = f"http://sender:s3cret@127.0.0.1:{proxy.port}"
        async with chosen_by(name, WEBHOOKS_EGRESS_PROXY=through) as sender:
            url = f"http://receiver.example:{receiver.port}/"
            assert (await send(sender, url)).http_code == 200
    (head,) = proxy.heads
    assert "Proxy-Authorization: Basic c2VuZGVyOnMzY3JldA==" in head
