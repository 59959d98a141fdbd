"""Doing a transaction again that was rolled back for the sake of others."""

from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import wraps
from typing import Any, Final, ParamSpec, TypeVar

from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_random

from notification_core.errors import TransactionLost

P = ParamSpec("P")
T = TypeVar("T")

_ATTEMPTS: Final = 5
_MOST_SECONDS: Final = 0.1


def repeated(
    transaction: Callable[P, Coroutine[Any, Any, T]],
) -> Callable[P, Coroutine[Any, Any, T]]:
    """Have a method that is one transaction done again, a few times, where it got lost."""

    @wraps(transaction)
    async def run(*arguments: P.args, **named: P.kwargs) -> T:
        # Nearly always the first attempt is the only one, and need not pay for the others.
        with suppress(TransactionLost):
            return await transaction(*arguments, **named)
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(TransactionLost),
            stop=stop_after_attempt(_ATTEMPTS - 1),
            wait=wait_random(0, _MOST_SECONDS),
            reraise=True,
        ):
            with attempt:
                return await transaction(*arguments, **named)
        raise AssertionError("tenacity returns or raises")

    return run
