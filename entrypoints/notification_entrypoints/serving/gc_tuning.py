"""Tuning the garbage collector: what lives as long as the process is not walked over."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def import_without_gc() -> Iterator[None]:
    """Import in the block what lives as long as the process.

    The collector would walk over it again and again while it grows, and once more at the end: for
    nothing, and for a third of the time that a start takes.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def collect_rarely() -> None:
    """Keep the garbage collector from looking at what lives long, and at each batch again.

    Deliveries are many small values without cycles, which die by their reference counts: at the
    default threshold the collector's walks cost a tenth of all deliveries per second.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)
