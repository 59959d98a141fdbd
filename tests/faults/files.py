"""The accounts of a run as files of one folder, for the checker to be run on again.

``published.jsonl`` and ``seen.jsonl`` have a line each, ``stored.json`` is the final state of the
storage, and ``allowed.json`` says what was done to the run.
"""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

from cattrs.preconf.json import JsonConverter, make_converter

from tests.faults.history import Allowed, History, Published, Seen, Stored

T = TypeVar("T")


def _converter() -> JsonConverter:
    converter = make_converter()
    converter.register_unstructure_hook(timedelta, lambda one: one.total_seconds())
    converter.register_structure_hook(timedelta, lambda one, _: timedelta(seconds=one))
    return converter


def write_history(folder: Path, history: History) -> None:
    """Leave the accounts of a run in a folder."""
    converter = _converter()
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "published.jsonl", history.published)
    _write(folder / "seen.jsonl", history.seen)
    (folder / "stored.json").write_text(converter.dumps(history.stored))
    (folder / "allowed.json").write_text(converter.dumps(history.allowed))


def read_history(folder: Path) -> History:
    """Read what :func:`write_history` wrote."""
    converter = _converter()
    return History(
        published=_read(folder / "published.jsonl", Published),
        seen=_read(folder / "seen.jsonl", Seen),
        stored=converter.loads((folder / "stored.json").read_text(), Stored),
        allowed=converter.loads((folder / "allowed.json").read_text(), Allowed),
    )


def _write(path: Path, items: Iterable[object]) -> None:
    converter = _converter()
    path.write_text("".join(f"{converter.dumps(item)}\n" for item in items))


def _read(path: Path, kind: type[T]) -> Sequence[T]:
    converter = _converter()
    return [converter.loads(line, kind) for line in path.read_text().splitlines()]
