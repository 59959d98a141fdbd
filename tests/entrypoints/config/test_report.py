"""Variables that have no effect, and those that Kubernetes injects: each start tells of them."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from notification_core.errors import InvalidSettings
from notification_entrypoints import embedded
from notification_entrypoints.config.report import unknown_variables
from notification_entrypoints.config.settings import load_settings, variables

RUN = [
    sys.executable,
    "-c",
    "import sys; from notification_entrypoints.cli import main; sys.exit(main(sys.argv[1:]))",
]
SECRET = "a secret of thirty-two letters !"
LINKS = {
    "API_SERVICE_HOST": "10.0.0.1",
    "API_SERVICE_PORT": "80",
    "API_SERVICE_PORT_HTTP": "80",
    "API_PORT": "tcp://10.0.0.1:80",
    "API_PORT_80_TCP": "tcp://10.0.0.1:80",
    "API_PORT_80_TCP_PROTO": "tcp",
    "DB_PORT_5432_TCP_ADDR": "10.0.0.2",
}


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("WEBHOOKS_RETRY_INTERVALL", "WEBHOOKS_RETRY_INTERVAL"),
        ("DB_ENCRYPTION_SECRETS", "DB_ENCRYPTION_SECRET"),
        ("DB_AUTH_PASS_FIEL", "DB_AUTH_PASS_FILE"),
        ("API_AUHT", "API_AUTH"),
        ("SHUTDOWN_DELY", "SHUTDOWN_DELAY"),
        ("DB_URI_FILE", "DB_URI"),
        ("DB_NAME", None),
        (f"KAFKA_{9:040}", None),
    ],
)
def test_a_slip_is_found_with_the_nearest_setting(name: str, nearest: str | None) -> None:
    (found,) = unknown_variables({name: "1", "HOME": "/", "API_AUTH": "none"})
    assert (found.name, found.nearest) == (name, nearest)


def test_settings_their_files_and_what_kubernetes_injects_are_no_slips() -> None:
    secrets = {f"{name}_FILE": "" for name, variable in variables().items() if variable.secret}
    assert [*unknown_variables(dict.fromkeys(variables(), "") | secrets | LINKS)] == []


@pytest.mark.parametrize("name", ["API_SERVER_PORT", "OPS_SERVER_PORT"])
def test_a_port_that_kubernetes_injects_is_explained(name: str) -> None:
    injected = {"DB_ENCRYPTION_SECRET": SECRET, name: "tcp://10.43.0.7:3615"}
    with pytest.raises(InvalidSettings) as refused:
        load_settings(injected)
    (detail,) = refused.value.details
    service = name.removesuffix("_PORT").lower().replace("_", "-")
    for told in (name, "Kubernetes", f"called {service}", "enableServiceLinks: false"):
        assert told in detail.message


def test_every_start_warns_and_names_the_nearest(tmp_path: Path) -> None:
    slip = {"WEBHOOKS_RETRY_INTERVALL": "5s", "API_SERVER_PORT": "0", "OPS_SERVER_PORT": "0"}
    process = subprocess.Popen(  # noqa: S603 - our own command
        [*RUN, "up", "--data", str(tmp_path)],
        env={**_surroundings(), **slip},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        first = json.loads(process.stderr.readline())
    finally:
        process.terminate()
        process.communicate(timeout=30)
    assert (first["event"], first["level"]) == ("unknown_variable", "warning")
    assert first["variable"] == "WEBHOOKS_RETRY_INTERVALL"
    assert first["nearest"] == "WEBHOOKS_RETRY_INTERVAL"


def test_migrate_tells_of_a_slip_too(tmp_path: Path) -> None:
    given = {"DB_URI": f"sqlite:///{tmp_path}/a.sqlite", "DB_ENCRYPTION_SECRET": SECRET}
    done = subprocess.run(  # noqa: S603 - our own command
        [*RUN, "migrate"],
        env={**_surroundings(), **given, "DB_URL": "elsewhere"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Note: DB_URL is set, but is not a setting; did you mean DB_URI?" in done.stderr


def test_an_embedding_host_is_warned(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        embedded.settings(DB_ENCRYPTION_SECRET=SECRET, WEBHOOKS_MAX_RETRY="5")
    assert "did you mean WEBHOOKS_MAX_RETRIES?" in caplog.text


def _surroundings() -> dict[str, str]:
    """Return the environment of this process without any setting."""
    return {name: value for name, value in os.environ.items() if name not in variables()}
