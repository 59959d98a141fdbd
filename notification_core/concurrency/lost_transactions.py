"""Repeating a transaction that the storage rolled back for the sake of another one."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import wraps
from random import uniform
from typing import Any, Final, ParamSpec, TypeVar

from notification_core.errors import TransactionLost

P = ParamSpec("P")
T = TypeVar("T")

_ATTEMPTS: Final = 5
_MOST_SECONDS: Final = 0.1


def retry_lost_transaction(
    transaction: Callable[P, Coroutine[Any, Any, T]],
) -> Callable[P, Coroutine[Any, Any, T]]:
    """Have a method that is one transaction repeated if it is lost, at most 4 times.

    Before each further attempt it waits up to 0.1 s, at random, so that the same transactions do
    not meet again. The last :class:`TransactionLost` is raised.
    """

    @wraps(transaction)
    async def run(*arguments: P.args, **named: P.kwargs) -> T:
        for _ in range(_ATTEMPTS - 1):
            with suppress(TransactionLost):
                return await transaction(*arguments, **named)
            await asyncio.sleep(uniform(0, _MOST_SECONDS))  # noqa: S311 - a pause, no secret
        return await transaction(*arguments, **named)

    return run
