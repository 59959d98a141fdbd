"""What the contract suites need of the storage in ``own_storage.py``.

In a checkout: ``TEST_STORAGE=own_storage_contract:opened PYTHONPATH=docs/examples pytest
tests/contracts``.
"""

from contextlib import AsyncExitStack, nullcontext
from io import StringIO

from attrs import evolve
from own_storage import journalled

from notification_adapters.memory import ManualClock, memory_storage
from notification_core.concurrency.ids import IdGenerator
from tests.contracts.harness import OPERATIONAL, TOPICS, Harness, harness_of, memory_probe


async def opened(_stack: AsyncExitStack) -> Harness:
    """Open an empty storage by a manual clock; what has to be closed goes on the stack."""
    clock = ManualClock()
    ids = IdGenerator(clock)
    storage = journalled(memory_storage(clock, ids, TOPICS, OPERATIONAL), StringIO())
    # The same storage as another process would have it: with a worker's lock of its own.
    rival = evolve(
        storage, worker_lock=storage.another_worker_lock(), notifier=storage.another_notifier()
    )
    harness = harness_of(storage, rival, clock, ids, memory_probe(storage))
    return evolve(harness, under=lambda _secret: nullcontext(storage))
