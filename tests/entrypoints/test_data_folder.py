"""The folder that ``up`` keeps its data in: who may read it, and what happens without one."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from notification_core.errors import StorageUnusable
from notification_entrypoints.cli import main
from notification_entrypoints.commands.exit_codes import Exit
from notification_entrypoints.config.databases import FILE_NAME, up_defaults

UNWRITABLE = Path("/proc")  # a folder in which nobody can make a file, root included
SECRET = "0123456789abcdef0123456789abcdef"

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux'")


def test_a_new_folder_and_its_secret_are_for_their_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    assert up_defaults(folder, {})["DB_ENCRYPTION_SECRET"]
    secret = folder / f"{FILE_NAME}.secret"
    assert [stat.S_IMODE(path.stat().st_mode) for path in (folder, secret)] == [0o700, 0o600]


def test_a_folder_whose_parent_is_missing_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(StorageUnusable, match=rf"{tmp_path}/mistyped does not exist"):
        up_defaults(tmp_path / "mistyped" / "data", {})
    assert not list(tmp_path.iterdir())


@linux_only
def test_a_folder_in_which_no_secret_can_be_made_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("DB_ENCRYPTION_SECRET", "DB_URI"):
        monkeypatch.delenv(variable, raising=False)
    assert main(["up", "--data", str(UNWRITABLE)]) == Exit.FAILED
    told = capsys.readouterr().err
    assert str(UNWRITABLE) in told
    assert "Errno" not in told
    assert "DB_ENCRYPTION_SECRET" in told


@linux_only
def test_a_database_that_cannot_be_made_is_said_in_one_line(tmp_path: Path) -> None:
    """In a process of its own: a thread that outlives its loop writes to standard error."""
    environment = {"DB_URI": f"sqlite:///{UNWRITABLE}/n.sqlite", "DB_ENCRYPTION_SECRET": SECRET}
    program = "import sys; from notification_entrypoints.cli import main; sys.exit(main())"
    ended = subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-c", program, "migrate"],
        env={**os.environ, **environment},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == Exit.FAILED
    assert ended.stderr == f"Error: {UNWRITABLE}/n.sqlite cannot be opened: {_reason()}.\n"


def _reason() -> str:
    try:
        os.open(UNWRITABLE / "n.sqlite", os.O_CREAT | os.O_RDWR)
    except OSError as error:
        return str(error.strerror)
    raise AssertionError(UNWRITABLE)
