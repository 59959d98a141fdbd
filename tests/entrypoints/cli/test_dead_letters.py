"""``dead-letters``: what is listed, and what happens to those that are replayed."""

import asyncio
import json
from base64 import b64encode
from collections.abc import Sequence
from pathlib import Path

import pytest

from notification_adapters.clock import SystemClock
from notification_adapters.sql.sqlite import migrate_sqlite, open_sqlite
from notification_core.concurrency.ids import IdGenerator
from notification_core.encryption.cipher import Cipher
from notification_core.model.message import DeadLetter, Message, Topics
from notification_entrypoints.cli import main
from notification_entrypoints.commands.exit_codes import Exit
from notification_entrypoints.config.databases import FILE_NAME
from notification_entrypoints.config.settings import variables
from tests.support.output import Output
from tests.support.samples import an_id

SECRET = "k" * 32
ENVIRONMENT = "0b6f2e0c-5d0c-4d7e-8a57-2f7a3f0f6f10"
# It was sent before this version knew the type; now it does.
EVENT = b'{"event":"job-created","environment_id":"%b","data":{}}' % ENVIRONMENT.encode()


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Give a folder as `up --data` leaves it, with two dead letters in its database."""
    for name in variables():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / f"{FILE_NAME}.secret").write_text(SECRET)
    asyncio.run(_prepared(folder / FILE_NAME, [_letter(1, b"\xff{"), _letter(2, EVENT)]))
    return folder


def _letter(offset: int, value: bytes) -> DeadLetter:
    message = Message("job-events", 3, offset, 0, value, None, (("h", b"\xff"),))
    return DeadLetter(message, f"No event \x1b[31m{offset}.")


async def _prepared(path: Path, letters: Sequence[DeadLetter]) -> None:
    clock, cipher = SystemClock(), Cipher(SECRET, ())
    await migrate_sqlite(path, cipher)
    opening = open_sqlite(path, cipher, clock, IdGenerator(clock), Topics())
    async with opening as storage, storage.deliveries.ingesting() as transaction:
        await transaction.add_dead_letters(letters)


def listed(capsys: Output, folder: Path, *arguments: str) -> list[dict[str, object]]:
    assert main(["dead-letters", "list", "--json", "--data", str(folder), *arguments]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_dead_letters_are_listed_newest_first_with_the_reason(folder: Path, capsys: Output) -> None:
    assert main(["dead-letters", "list", "--data", str(folder)]) == 0
    said = capsys.readouterr().out
    assert "job-events" in said
    assert said.index("No event \N{REPLACEMENT CHARACTER}[31m2.") < said.index("31m1.")


def test_programs_get_the_bytes_too(folder: Path, capsys: Output) -> None:
    newest, oldest = listed(capsys, folder)
    assert (newest["offset"], oldest["offset"], oldest["partition"]) == (2, 1, 3)
    assert (oldest["key"], oldest["value"]) == (None, b64encode(b"\xff{").decode())
    assert oldest["headers"] == [["h", "/w=="]]
    assert listed(capsys, folder, "--limit", "1") == [newest]


def test_the_database_may_also_be_named_by_the_settings(
    folder: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DB_URI", f"sqlite:///{folder / FILE_NAME}")
    monkeypatch.setenv("DB_ENCRYPTION_SECRET", SECRET)
    assert main(["dead-letters", "list"]) == 0
    assert "job-events" in capsys.readouterr().out


def test_what_is_an_event_now_is_ingested_and_the_others_stay(folder: Path, capsys: Output) -> None:
    assert main(["dead-letters", "replay", "--all", "--data", str(folder)]) == Exit.FAILED
    said = capsys.readouterr()
    assert " is event " in said.out
    assert "not UTF-8" in said.out
    assert "1 of them are still not valid events." in said.err
    (left,) = listed(capsys, folder)
    assert left["offset"] == 1


def test_single_ones_are_replayed(folder: Path, capsys: Output) -> None:
    newest, _ = listed(capsys, folder)
    letter_id = str(newest["letter_id"])
    assert main(["dead-letters", "replay", letter_id, "--data", str(folder)]) == 0
    capsys.readouterr()
    assert len(listed(capsys, folder)) == 1
    assert main(["dead-letters", "replay", letter_id, "--data", str(folder)]) == Exit.NOT_FOUND


@pytest.mark.parametrize("arguments", [[], ["--all", str(an_id())], ["x"]])
def test_it_must_be_said_which_are_replayed(arguments: list[str], capsys: Output) -> None:
    assert main(["dead-letters", "replay", *arguments]) == Exit.USAGE
    assert "Usage" in capsys.readouterr().err
