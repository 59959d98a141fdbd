"""What the files of deploy/ name, there is: settings and commands."""

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import yaml

from notification_entrypoints.cli.main import program
from notification_entrypoints.config.settings import variables

DEPLOY = Path(__file__).parents[3] / "deploy"
# Of Python, not of ours.
PYTHON = {"PATH", "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED"}


def _compose() -> Iterator[tuple[str, dict[str, object]]]:
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    for service in services.values():
        if "notification-management" in service["image"]:
            (command,) = service["command"]
            yield command, service["environment"]


def _kubernetes() -> Iterator[tuple[str, set[str]]]:
    documents = [
        document
        for path in sorted((DEPLOY / "kubernetes").glob("*.yaml"))
        for document in yaml.safe_load_all(path.read_text())
    ]
    (config,) = (document["data"] for document in documents if document["kind"] == "ConfigMap")
    for document in documents:
        if document["kind"] in {"Deployment", "Job"}:
            (container,) = document["spec"]["template"]["spec"]["containers"]
            (command,) = container["args"]
            yield command, {*config, *(variable["name"] for variable in container["env"])}


def _others() -> Iterator[tuple[str, set[str]]]:
    dockerfile = (DEPLOY / "container/Dockerfile").read_text()
    (block,) = re.findall(r"^ENV ((?:.*\\\n)*.*)$", dockerfile, re.MULTILINE)
    yield "up", set(re.findall(r"(\w+)=", block)) - PYTHON
    unit = (DEPLOY / "systemd/notification-management@.service").read_text()
    yield "api", set(re.findall(r"^Environment=(\w+)=", unit, re.MULTILINE))


@pytest.mark.parametrize(("command", "names"), [*_compose(), *_kubernetes(), *_others()])
def test_commands_and_settings_exist(command: str, names: object) -> None:
    assert command in program.list_commands(click.Context(program))
    known = variables()
    assert isinstance(names, dict | set)
    secrets = {f"{name}_FILE" for name, variable in known.items() if variable.secret}
    assert set(names) <= {*known, *secrets}
