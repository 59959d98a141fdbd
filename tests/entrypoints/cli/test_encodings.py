"""The command line on an output that cannot hold every character."""

import io
import subprocess
import sys

import click
import pytest

from notification_entrypoints.cli.main import main, program
from notification_entrypoints.commands.exit_codes import Exit

COMMANDS = ("", *program.list_commands(click.Context(program)))
ENCODINGS = ("cp1252", "latin-1", "ascii")


@pytest.fixture(params=ENCODINGS)
def encoding(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def said(
    monkeypatch: pytest.MonkeyPatch, encoding: str, arguments: list[str]
) -> tuple[int, str, str]:
    """Run a command; return its exit code, and what both streams say in the encoding."""
    written = {name: io.BytesIO() for name in ("stdout", "stderr")}
    with monkeypatch.context() as patch:
        for name, buffer in written.items():
            patch.setattr(sys, name, io.TextIOWrapper(buffer, encoding, write_through=True))
        code = main(arguments)
        out, err = (buffer.getvalue().decode(encoding) for buffer in written.values())
    return code, out, err


@pytest.mark.parametrize("command", COMMANDS)
def test_help_is_complete_in_every_encoding(
    monkeypatch: pytest.MonkeyPatch, encoding: str, command: str
) -> None:
    arguments = [*command.split(), "--help"]
    code, out, _ = said(monkeypatch, encoding, arguments)
    _, expected, _ = said(monkeypatch, "utf-8", arguments)
    assert code == 0
    assert out == expected.encode(encoding, "backslashreplace").decode(encoding)


def test_an_error_is_told_with_its_exit_code_in_every_encoding(
    monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    code, _, err = said(monkeypatch, encoding, ["webhooks", "✓"])
    assert code == Exit.USAGE
    assert r"No such command '\u2713'" in err


def test_a_process_of_its_own_escapes_what_its_output_cannot_hold(encoding: str) -> None:
    script = (
        "import sys, click; from notification_entrypoints import cli; "
        "code = cli.main(['--version']); click.echo('✓ 日本'); "
        "from notification_entrypoints.cli.terminal import output, show_table; "
        "show_table(['name'], [['✓ 日本']], ''); sys.exit(code)"
    )
    done = subprocess.run(  # noqa: S603 - this interpreter with our own script
        [sys.executable, "-c", script],
        env={"PYTHONIOENCODING": encoding},
        capture_output=True,
        check=True,
    )
    text = done.stdout.decode(encoding)
    assert text.count(r"\u2713 \u65e5\u672c") == 2
