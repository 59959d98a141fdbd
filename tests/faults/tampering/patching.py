"""Replacing what the product does, by name."""

import inspect
from collections.abc import Callable, Sequence
from functools import partial, wraps
from importlib import import_module
from typing import Any

from notification_adapters.sql.stores.deliveries import SqlDeliveryStore

Function = Callable[..., Any]


def replaced(where: str, by: Callable[[Any], Any]) -> None:
    """Put something else instead of ``module:Class.method``, ``module:function`` or a value.

    ``by`` makes it of what is there. Nothing may be replaced in vain: what is not there, or stays
    as it was, is an error.
    """
    module, _, path = where.partition(":")
    owner: Any = import_module(module)
    *parents, name = path.split(".")
    for parent in parents:
        owner = getattr(owner, parent)
    before = getattr(owner, name)
    after = by(before)
    if after == before:
        raise ValueError(f"{where} stays as it was.")
    setattr(owner, name, after)


def step_by_step() -> None:
    """Have storages do all step by step, as PostgreSQL behind a pooler, so that each is reached."""
    for taken in ("postgres.storage:PostgresDeliveryStore", "sqlite.storage:SqliteDeliveryStore"):
        # One of its own each time: several mutants ask for this more than once.
        replaced(f"notification_adapters.sql.{taken}", lambda _: partial(SqlDeliveryStore))


def calling_before(act: Callable[[], None]) -> Callable[[Function], Function]:
    """Make a function that acts, and then does as before: not where it is given nothing to do."""

    def by(function: Function) -> Function:
        @wraps(function)
        def acting(*arguments: Any, **named: Any) -> Any:
            if _have_work(arguments):
                act()
            return function(*arguments, **named)

        @wraps(function)
        async def acting_when_awaited(*arguments: Any, **named: Any) -> Any:
            if _have_work(arguments):
                act()
            return await function(*arguments, **named)

        return acting_when_awaited if inspect.iscoroutinefunction(function) else acting

    return by


def _have_work(arguments: Sequence[object]) -> bool:
    """Tell whether any of the sequences among arguments has something in it, if there are any."""
    sizes = [len(one) for one in arguments if isinstance(one, Sequence)]
    return not sizes or any(sizes)


def calling_after(act: Callable[[], None]) -> Callable[[Function], Function]:
    """Make a coroutine function that does as before, and then acts: not where it took nothing."""

    def by(function: Function) -> Function:
        @wraps(function)
        async def acting(*arguments: Any, **named: Any) -> Any:
            result = await function(*arguments, **named)
            if getattr(result, "deliveries", True):
                act()
            return result

        return acting

    return by
