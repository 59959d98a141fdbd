"""Settings in a file: how a line is read, and what is said of one that cannot be."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notification_core.errors import InvalidSettings
from notification_entrypoints.config.dotenv import parse_dotenv, read_dotenv


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=1", "1"),
        (" export A = 1 2 ", "1 2"),
        ("A=", ""),
        ("A=#nothing", ""),
        ("A=a#b # a comment", "a#b"),
        ("A='# $B \\n' # as it is", "# $B \\n"),
        (r'A="a \"b\" \\ \n" # a comment', 'a "b" \\ \n'),
        ("A=first\nA=second", "second"),
        ("# A=1\n\nA=$HOME", "$HOME"),
    ],
)
def test_a_line_is_read(line: str, value: str) -> None:
    assert parse_dotenv(line) == {"A": value}


@given(st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"])))
def test_every_value_can_be_written_in_double_quotes(value: str) -> None:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    assert parse_dotenv(f'A="{escaped}"') == {"A": value}


@pytest.mark.parametrize("line", ["A", "=1", "1A=1", "A B=1", 'A="1', "A='1' 2"])
def test_a_line_that_is_not_a_variable_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "settings.env"
    path.write_text(f"A=1\n{line}\n")
    with pytest.raises(InvalidSettings, match=r"settings\.env: .*line 2"):
        read_dotenv(path)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match=r"missing\.env cannot be read: No such file"):
        read_dotenv(tmp_path / "missing.env")
    large = tmp_path / "large.env"
    large.write_text("#" * 70_000)
    with pytest.raises(InvalidSettings, match="more than 65,536 bytes"):
        read_dotenv(large)
