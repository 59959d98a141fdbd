"""Doing a transaction again that the storage undid for the sake of others.

Where a transaction is one method of a store, its adapter does so. Here it is done for those that
the core makes of several steps.
"""

from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from notification_core.errors import TransactionLost

P = ParamSpec("P")
T = TypeVar("T")

_ATTEMPTS = 3


def repeated(
    transaction: Callable[P, Coroutine[Any, Any, T]],
) -> Callable[P, Coroutine[Any, Any, T]]:
    """Have a method that is one transaction done again, a few times, where it got lost."""

    @wraps(transaction)
    async def run(*arguments: P.args, **named: P.kwargs) -> T:
        for _ in range(_ATTEMPTS - 1):
            with suppress(TransactionLost):
                return await transaction(*arguments, **named)
        return await transaction(*arguments, **named)

    return run
