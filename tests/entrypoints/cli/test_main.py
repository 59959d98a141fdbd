"""The command line as a whole, and the commands that only look or ask."""

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

import notification_entrypoints.commands.up
from notification_core.errors import InvalidSettings
from notification_entrypoints.cli.main import main, program
from notification_entrypoints.cli.options import environment_of
from notification_entrypoints.commands import api, consumer
from notification_entrypoints.commands.exit_codes import Exit
from notification_entrypoints.config.databases import FILE_NAME
from notification_entrypoints.config.settings import variables
from tests.support.output import Output

ELSEWHERE = {
    "aiokafka",
    "alembic",
    "asyncpg",
    "cryptography.hazmat.primitives.serialization",
    "jwt",
    "notification_adapters.http.aiohttp",
    "notification_adapters.kafka.event_source",
    "notification_adapters.memory",
    "notification_adapters.sql.postgres",
    "notification_adapters.vault",
    "notification_entrypoints.process.supervisor",
    "opentelemetry",
    "pyinstrument",
    "yaml",
}
"""What other storages, other commands and other settings need, and is slow to import."""

COMMANDS = tuple(program.list_commands(click.Context(program)))


def test_help_names_every_command_and_loads_none_of_them() -> None:
    script = (
        "import sys; from notification_entrypoints.cli import main; code = main(['--help']); "
        "print(sorted({'aiohttp', 'rich', 'sqlalchemy'} & set(sys.modules))); sys.exit(code)"
    )
    said = subprocess.run(  # noqa: S603 - this interpreter with our own script
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout
    for command in COMMANDS:
        assert f"\n  {command} " in said
    assert said.endswith("[]\n")


def test_a_start_on_a_new_file_brings_nothing_that_is_for_other_storages_or_for_several(
    tmp_path: Path,
) -> None:
    script = (
        "import sys; from notification_entrypoints import cli; "
        "assert cli.main(['up', '--help']) == cli.main(['migrate']) == 0; "
        f"print(*sorted({ELSEWHERE!r} & set(sys.modules)))"
    )
    variables = {
        "DB_URI": f"sqlite:///{tmp_path}/n.sqlite",
        "DB_ENCRYPTION_SECRET": "0123456789abcdef0123456789abcdef",
    }
    said = subprocess.run(  # noqa: S603 - this interpreter with our own script
        [sys.executable, "-c", script],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "Usage: notification-management up" in said
    assert said.splitlines()[-1] == "", "each of these costs every start for nothing"


@pytest.mark.parametrize("command", [*COMMANDS, "webhooks create", "events types"])
def test_each_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command.split(), "--help"]) == 0
    assert f"Usage: notification-management {command}" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["eat"], ["logs"], ["logs", "not-a-uuid"], ["up", "--x"]])
def test_a_wrong_call_is_a_usage_error(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert "Usage: notification-management" in capsys.readouterr().err


def test_what_serves_is_given_the_environment_and_how_many_are_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[object] = []
    for module in (notification_entrypoints.commands.up, api, consumer):
        monkeypatch.setattr(module, "run", lambda *given: calls.append(given))
    assert main(["up", "--data", str(tmp_path)]) == 0
    assert main(["up", "--workers", "2"]) == 0
    assert main(["api", "--workers", "3"]) == 0
    assert main(["consumer"]) == 0
    environ = os.environ
    assert calls == [(tmp_path, environ, 1), (None, environ, 2), (environ, 3), (environ, 1)]


@pytest.mark.parametrize("count", ["0", "65", "many"])
def test_how_many_are_to_serve_is_bounded(count: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["up", "--workers", count]) == 2
    assert "--workers" in capsys.readouterr().err


def test_migrate_says_what_it_did_in_a_folder_of_up(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Output
) -> None:
    monkeypatch.setenv("DB_URI", f"sqlite:///{tmp_path / FILE_NAME}")
    monkeypatch.setenv("DB_ENCRYPTION_SECRET", "s" * 32)
    assert main(["migrate"]) == Exit.OK
    assert capsys.readouterr().out.startswith("Created the schema")
    monkeypatch.delenv("DB_URI")
    assert main(["migrate", "--data", str(tmp_path)]) == Exit.OK
    assert capsys.readouterr().out.startswith("Nothing to do")


@pytest.mark.parametrize("command", ["migrate", "rekey", "dead-letters list"])
def test_without_a_database_a_command_names_the_option_and_the_variables(
    command: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Output
) -> None:
    for name in variables():
        monkeypatch.delenv(name, raising=False)
    assert main(command.split()) == Exit.SETTINGS
    said = capsys.readouterr().err
    assert "--data" in said
    assert "DB_ENCRYPTION_SECRET" in said
    assert main([*command.split(), "--data", str(tmp_path)]) == Exit.SETTINGS
    assert "There is no database" in capsys.readouterr().err


def raising(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def run(*_: object) -> None:
        raise error

    monkeypatch.setattr(notification_entrypoints.commands.up, "run", run)


def test_what_is_wrong_on_purpose_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    raising(monkeypatch, InvalidSettings("API_SERVER_PORT is wrong."))
    assert main(["up"]) == Exit.SETTINGS
    assert capsys.readouterr().err == "Error: API_SERVER_PORT is wrong.\n"


def test_what_nobody_expected_is_one_sentence_too_and_debug_shows_the_rest(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    raising(monkeypatch, RuntimeError("the moon fell down"))
    assert main(["up"]) == 1
    said = capsys.readouterr().err
    assert said.splitlines() == [
        "Error: Unexpected: RuntimeError: the moon fell down. See where with --debug."
    ]
    assert main(["--debug", "up"]) == 1
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_an_interruption_is_said_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    raising(monkeypatch, KeyboardInterrupt())
    assert main(["up"]) == Exit.INTERRUPTED
    assert capsys.readouterr().err == "\nError: Interrupted.\n"


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("upp", "Did you mean 'up'?"),
        ("webhook", "Did you mean 'webhooks'?"),
        ("frobnicate", "'frobnicate'.\n"),
    ],
)
def test_a_command_that_is_none_is_told_which_may_be_meant(
    word: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([word]) == Exit.USAGE
    assert said in capsys.readouterr().err


def test_a_command_of_a_group_is_looked_for_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", "revoc"]) == Exit.USAGE
    assert "Did you mean 'revoke'?" in capsys.readouterr().err


def test_the_help_of_a_group_cuts_no_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    for group in ("webhooks", "keys", "portal-sessions", "deliveries"):
        assert main([group, "--help"]) == 0
        assert "..." not in capsys.readouterr().out.partition("Commands:")[2]


def test_an_address_without_its_secret_is_told_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    for name in variables():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DB_URI", "db.example.com:5432")
    assert main(["migrate"]) == Exit.SETTINGS
    assert "DB_ENCRYPTION_SECRET must be set as well as DB_URI" in capsys.readouterr().err


def test_what_is_not_an_id_is_told_what_one_looks_like(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["webhooks", "list", "--environment", "prod"]) == Exit.USAGE
    assert "'prod' is not a valid UUID, like 0b6f2e0c-" in capsys.readouterr().err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_a_script_that_completes(
    shell: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["completion", shell]) == 0
    said = capsys.readouterr().out
    assert f"_NOTIFICATION_MANAGEMENT_COMPLETE={shell}_complete" in said


@pytest.mark.parametrize(
    ("words", "word", "offered"),
    [
        ("notification-management we", 1, ["webhooks"]),
        ("notification-management webhooks d", 2, ["delete", "disable"]),
        ("notification-management logs --outcome f", 3, ["failed"]),
    ],
)
def test_commands_options_and_values_are_completed(
    words: str, word: int, offered: list[str]
) -> None:
    command = "import sys; from notification_entrypoints.cli import main; sys.exit(main())"
    environ = {
        "_NOTIFICATION_MANAGEMENT_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(word),
    }
    said = subprocess.run(  # noqa: S603 - this interpreter with our own script
        [sys.executable, "-c", command],
        env=os.environ | environ,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert [line.partition(",")[2] for line in said.splitlines()] == offered


@pytest.mark.parametrize(
    ("arguments", "variable"),
    [
        (["consumer", "--db-uri", "x"], "DB_URI"),
        (["up", "--max-retries", "5"], "WEBHOOKS_MAX_RETRIES"),
        (["migrate", "--nonsense"], "notification-management doctor"),
    ],
)
def test_an_option_that_is_a_setting_leads_to_its_variable(
    capsys: Output, arguments: list[str], variable: str
) -> None:
    assert main(arguments) == Exit.USAGE
    assert variable in capsys.readouterr().err


def test_options_win_over_the_environment_which_wins_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "settings.env"
    file.write_text("API_SERVER_PORT=1\nOPS_SERVER_PORT=2\nDEBUG=true\n")
    environ = {"API_SERVER_PORT": "3", "OPS_SERVER_PORT": "4"}
    options = {"config": file, "port": 5, "host": None, "ops_port": None}
    assert environment_of(environ, options) == {
        "API_SERVER_PORT": "5", "OPS_SERVER_PORT": "4", "DEBUG": "true",
    }  # fmt: skip


@pytest.mark.parametrize("missing", ["click", "rich"])
def test_a_missing_extra_is_told_with_what_to_install(missing: str) -> None:
    program = (
        f"import sys; sys.modules[{missing!r}] = None; "
        "from notification_entrypoints.cli import main; sys.exit(main(['events', 'types']))"
    )
    done = subprocess.run(  # noqa: S603 - this interpreter with our own script
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "pip install 'notification-management[service]'" in done.stderr
    assert "Traceback" not in done.stderr
