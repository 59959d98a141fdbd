"""The commands' page, and the help that it is made of."""

from pathlib import Path

import pytest

from notification_entrypoints.cli.reference import commands_page
from notification_entrypoints.commands.exit_codes import Exit

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "commands.md"

SECTIONS = [part.partition("\n")[::2] for part in commands_page().split("\n## ")[1:]]
# What only leads to other commands needs no examples.
COMMANDS = [section for section in SECTIONS if "COMMAND [ARGS]" not in section[1]]


def test_the_page_says_what_the_commands_say() -> None:
    assert PAGE.read_text() == commands_page(), "Run `nox -s generate`."


def test_every_exit_code_is_explained() -> None:
    (_, text), *_ = SECTIONS
    for code in Exit:
        assert f"  {code.value} " in text
        assert code.meaning in " ".join(text.split())


@pytest.mark.parametrize(
    ("command", "text"),
    COMMANDS,
    ids=lambda value: value if value.startswith("notification-") else "",
)
def test_every_command_shows_how_it_is_called(command: str, text: str) -> None:
    said = text.partition("Examples:")[2] or text.partition("Switch it on:")[2]
    assert command in said


def test_no_line_is_too_wide_for_a_page() -> None:
    assert max(len(line) for line in commands_page().splitlines()) <= 100
