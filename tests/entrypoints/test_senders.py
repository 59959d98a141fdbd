"""What sends in a running process."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from notification_adapters.http.aiohttp import AiohttpSender
from notification_adapters.http.native import NativeSender
from notification_core.errors import InvalidSettings
from notification_core.ports.sender import HttpSender
from notification_entrypoints.senders import chosen_sender
from notification_entrypoints.settings import load_settings

REQUIRED = {"DB_ENCRYPTION_SECRET": "0123456789abcdef0123456789abcdef"}


@asynccontextmanager
async def chosen_by(name: str) -> AsyncIterator[HttpSender]:
    sender = chosen_sender(load_settings({**REQUIRED, "WEBHOOKS_SENDER": name}))
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
