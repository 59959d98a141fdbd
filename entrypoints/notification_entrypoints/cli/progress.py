"""How far a long command is: a bar on a terminal, now and then a line elsewhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from notification_entrypoints.cli.terminal import messages

_SECONDS_BETWEEN_LINES = 5.0


@contextmanager
def progress(total: int, doing: str, done: str) -> Iterator[Callable[[int], None]]:
    """Give what is called with how many of ``total`` are done.

    A bar is called ``doing``, and a line is "5 of 7" and ``done``.
    """
    console = messages()
    if not console.is_terminal:
        yield _lines(total, done, lambda line: console.print(line, markup=False))
        return
    columns = (TextColumn(doing), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=total)
        yield lambda count: bar.update(task, completed=count, total=max(total, count))


def _lines(total: int, done: str, show: Callable[[str], None]) -> Callable[[int], None]:
    next_at = 0.0

    def tell(count: int) -> None:
        nonlocal next_at
        if time.monotonic() >= next_at:
            next_at = time.monotonic() + _SECONDS_BETWEEN_LINES
            show(f"{count:,} of {max(total, count):,} {done}")

    return tell
