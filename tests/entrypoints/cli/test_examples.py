"""The examples in the help of each command: they are understood, and their events are valid."""

import re
import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import click
import pytest

from notification_adapters.event_formats.data_schemas import DataSchemas
from notification_core.model.event import Event
from notification_entrypoints.cli.main import program
from notification_entrypoints.cli.reference import commands_page
from notification_entrypoints.config.groups import EventSettings

ID = "0b6f2e0c-5d0c-4d7e-8a57-2f7a3f0f6f10"
SECTIONS = [part.partition("\n")[::2] for part in commands_page().split("\n## ")[1:]]
EXAMPLES = {
    command: re.findall(
        r"^ {4}notification-management (.*?(?:\\\n.*?)*)$",
        text.partition("Examples:")[2],
        re.MULTILINE,
    )
    for command, text in SECTIONS
    if "COMMAND [ARGS]" not in text and "Examples:" in text
}
LINES = [line for lines in EXAMPLES.values() for line in lines]


@pytest.mark.parametrize("command", EXAMPLES)
def test_every_command_has_two_examples(command: str) -> None:
    assert len(EXAMPLES[command]) >= 2


def understood(line: str) -> dict[str, Any]:
    """Return the parameters in an example; raises what a user would be told."""
    words = shlex.split(line.replace("\\\n", " "), comments=True)
    for end in ("|", ">", "<"):
        words = words[: words.index(end)] if end in words else words
    words = [re.sub(r"^([A-Z]+_)?ID$", ID, word) for word in words]
    context = program.make_context("notification-management", words)
    command: click.Command = program
    while isinstance(command, click.Group):
        arguments = [*context._protected_args, *context.args]  # noqa: SLF001 - click's own way
        name, found, rest = command.resolve_command(context, arguments)
        assert found is not None
        command, context = found, found.make_context(name, rest, parent=context)
    parameters = dict(context.params)
    context.close()
    return parameters


CONTENTS = {"key.pem": "ab" * 32, "secret.txt": f"whsec_{'A' * 32}"}


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for line in LINES:
        for name in re.findall(r"@?([\w.-]+\.(?:jsonl?|txt|http|pem|key))\b", line):
            (tmp_path / name).write_text(CONTENTS.get(name, "{}"))


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize("line", LINES)
def test_an_example_is_understood(line: str) -> None:
    understood(line)


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize("line", [line for line in LINES if "--data" in line and "--event" in line])
def test_the_event_of_an_example_fits_its_schema(line: str) -> None:
    given = understood(line)
    now = datetime.now(UTC)
    event = Event("evt-1", uuid4(), given["event_type"], now, given["data"].encode())
    assert DataSchemas(EventSettings().catalogue).errors(event, 10) == []
