"""When ``up`` lets webhooks reach this host: only while nobody else can create one."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from notification_core.errors import DestinationRefused
from notification_core.model.destinations import check_url
from notification_entrypoints.config.databases import up_defaults
from notification_entrypoints.config.settings import load_settings

OPS = "http://127.0.0.1:3616/debug/settings"


def policy_allows(folder: Path, environ: Mapping[str, str]) -> bool:
    settings = load_settings(environ, up_defaults(folder, environ))
    try:
        check_url(OPS, settings.webhooks.destinations)
    except DestinationRefused:
        return False
    return True


@pytest.mark.parametrize(
    ("environ", "open_"),
    [
        ({}, True),
        ({"API_AUTH": "none"}, True),
        ({"API_AUTH": "api_key"}, False),
        ({"API_AUTH": "none", "API_SERVER_HOST": "0.0.0.0"}, False),  # noqa: S104 - nothing binds
        ({"API_AUTH": "none", "POD_IP": "10.0.0.7"}, False),
        ({"WEBHOOKS_ALLOWED_NETWORKS": ""}, False),
        ({"API_AUTH": "api_key", "WEBHOOKS_ALLOWED_NETWORKS": "127.0.0.0/8"}, True),
    ],
)
def test_loopback_is_open_only_where_a_caller_could_reach_it_anyway(
    tmp_path: Path, environ: Mapping[str, str], *, open_: bool
) -> None:
    assert policy_allows(tmp_path, environ) is open_
