"""Which credentials the settings have the API accept."""

import sys
from collections.abc import Sequence

import pytest
from structlog.testing import capture_logs

from notification_adapters.jwt.credentials import JwtCredentials
from notification_adapters.memory import ManualClock, memory_storage
from notification_core.access.authentication import BootstrapKey, StoredKeys
from notification_core.concurrency.ids import IdGenerator
from notification_core.errors import InvalidSettings
from notification_core.ports.credentials import CredentialScheme
from notification_entrypoints.bootstrap.authentication import open_credentials
from notification_entrypoints.config.settings import load_settings

REQUIRED = {"DB_ENCRYPTION_SECRET": "a secret of thirty-two letters !"}
JWT = {
    "API_AUTH": "jwt",
    "API_JWT_ISSUER": "i",
    "API_JWT_AUDIENCE": "a",
    "API_JWT_JWKS_URL": "https://login.example.com/keys",
}


async def accepted(**variables: str) -> Sequence[CredentialScheme] | None:
    clock = ManualClock()
    keys = StoredKeys(memory_storage(clock, IdGenerator(clock)).api_keys, clock)
    settings = load_settings(REQUIRED | variables)
    async with open_credentials(settings, keys, clock) as credentials:
        return credentials


@pytest.mark.parametrize(
    ("variables", "kinds"),
    [
        ({"API_AUTH": "api_key"}, [StoredKeys]),
        ({"API_AUTH": "api_key", "API_BOOTSTRAP_KEY": "b" * 32}, [BootstrapKey, StoredKeys]),
        (JWT, [JwtCredentials]),
        (JWT | {"API_AUTH": "api_key,jwt"}, [StoredKeys, JwtCredentials]),
        # On an address that others reach, nothing said is nothing accepted.
        ({"POD_IP": "10.0.0.7"}, []),
    ],
)
async def test_what_is_named_is_accepted_and_nothing_else(
    variables: dict[str, str], kinds: list[type]
) -> None:
    credentials = await accepted(**variables)
    assert credentials is not None
    assert [type(each) for each in credentials] == kinds


async def test_authentication_is_disabled_only_by_setting_or_on_loopback() -> None:
    assert await accepted() is None
    assert await accepted(API_AUTH="none", POD_IP="10.0.0.7") is None


async def test_a_build_without_tokens_says_how_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "notification_adapters.jwt.credentials", None)
    with pytest.raises(InvalidSettings, match=r"notification-management\[jwt\]"):
        await accepted(**JWT)


@pytest.mark.parametrize(
    ("url", "warned"),
    [
        ("https://login.example.com/keys", False),
        ("http://127.0.0.1:8080/keys", False),
        ("http://login.example.com/keys", True),
    ],
)
async def test_keys_that_anybody_on_the_way_could_change_are_warned_of(
    url: str, *, warned: bool
) -> None:
    with capture_logs() as logs:
        await accepted(**JWT | {"API_JWT_JWKS_URL": url})
    assert ("jwks_over_plain_http" in str(logs)) is warned
