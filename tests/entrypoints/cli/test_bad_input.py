"""Each option and argument of each command with a value that is none: said by its name, at once.

The table is made from the commands, so that an option that is added later stands in it too.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from notification_entrypoints.cli.main import main, program
from notification_entrypoints.cli.options import EVENT_ID, ID
from notification_entrypoints.commands.exit_codes import Exit
from tests.entrypoints.fake_api import FakeApi
from tests.support.output import Output

WRONG = "~wrong~"


def commands(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[Any]:
    """Yield each command below one, with the words that call it."""
    if not isinstance(command, click.Group):
        yield path, command
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        if below := command.get_command(context, name):
            yield from commands(below, (*path, name))


def wrong_calls() -> Iterator[Any]:
    """Yield each parameter that can be wrong, with a call that is right but for it."""
    for path, command in commands(program):
        for wrong in command.params:
            if not judged(wrong):
                continue
            words = [
                word
                for each in command.params
                if each.required or each is wrong
                for word in given(each, bad(each) if each is wrong else right(each))
            ]
            yield pytest.param([*path, *words], wrong, id=f"{' '.join(path)} {wrong.name}")


def judged(parameter: click.Parameter) -> bool:
    """Tell whether there are values that a parameter refuses."""
    if isinstance(parameter, click.Option) and (parameter.is_flag or parameter.count):
        return False
    plain = isinstance(parameter.type, click.types.StringParamType | click.Path | click.File)
    return not plain or parameter.callback is not None


def given(parameter: click.Parameter, value: str) -> list[str]:
    return [parameter.opts[-1], value] if isinstance(parameter, click.Option) else [value]


def bad(parameter: click.Parameter) -> str:
    """Return a value that a parameter refuses: any text but a few is an event's id."""
    return ".." if parameter.type is EVENT_ID else WRONG


def right(parameter: click.Parameter) -> str:
    """Return a value that a parameter takes."""
    if isinstance(parameter.type, click.Choice):
        return str(parameter.type.choices[0])
    if parameter.type is ID:
        return "0b6f2e0c-5d0c-4d7e-8a57-2f7a3f0f6f10"
    return {"since": "1h", "filter": "{}"}.get(str(parameter.name), "x")


@pytest.mark.parametrize(("words", "parameter"), [*wrong_calls()])
def test_a_value_that_is_none_is_a_wrong_call_and_named(
    words: list[str],
    parameter: click.Parameter,
    capsys: Output,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words) == Exit.USAGE
    said = capsys.readouterr().err
    is_option = isinstance(parameter, click.Option)
    named = parameter.opts[-1] if is_option else parameter.make_metavar(click.Context(program))
    assert named in said
    assert "Traceback" not in said


@pytest.mark.parametrize("path", [" ".join(path) for path, _ in commands(program)])
def test_an_option_that_does_not_exist_is_a_wrong_call(path: str, capsys: Output) -> None:
    assert main([*path.split(), "--colour", "blue"]) == Exit.USAGE
    assert "--colour" in capsys.readouterr().err


def test_https_to_a_server_of_plain_http_names_the_handshake(api: FakeApi, capsys: Output) -> None:
    url = api.url.replace("http://", "https://")
    assert main(["events", "types", "--api", url]) == Exit.UNAVAILABLE
    assert "the TLS handshake failed" in capsys.readouterr().err
