"""The keys of advisory locks."""

from uuid import UUID


def lock_key(worker: UUID) -> int:
    """Return the number that a worker's lock goes by: the random half of its id."""
    return int.from_bytes(worker.bytes[8:], signed=True)
