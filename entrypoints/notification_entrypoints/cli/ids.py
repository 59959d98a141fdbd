"""Ids on the command line."""

from typing import Any
from uuid import UUID

import click


class _Id(click.types.UUIDParameterType):
    """A UUID; says what one looks like where it gets none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> UUID:
        """Read an id."""
        try:
            return UUID(str(value).strip())
        except ValueError:
            said = "is no id. Give a UUID, like 0b6f2e0c-5d0c-4d7e-8a57-2f7a3f0f6f10."
            self.fail(f"{value!r} {said}", param, ctx)


ID = _Id()
"""The type of options and arguments that are ids."""
