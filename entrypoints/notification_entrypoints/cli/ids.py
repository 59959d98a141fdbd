"""Ids on the command line."""

import re
from typing import Any
from uuid import UUID

import click

from notification_adapters.event_formats.validation import id_error


class _Id(click.types.UUIDParameterType):
    """A UUID; says what one looks like where it gets none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> UUID:
        """Read an id."""
        try:
            return UUID(str(value).strip())
        except ValueError:
            said = "is no id. Give a UUID, like 0b6f2e0c-5d0c-4d7e-8a57-2f7a3f0f6f10."
            self.fail(f"{value!r} {said}", param, ctx)


class _EventId(click.ParamType[str]):
    """The id of an event, which is its publisher's own: any text that an event may have."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Take an id; what is not UTF-8 reaches the command line with surrogates in it."""
        wrong = id_error(value)
        if wrong is not None or re.search(r"[\ud800-\udfff]", value):
            self.fail(wrong or "An event id is text in UTF-8.", param, ctx)
        return str(value)


ID = _Id()
"""The type of options and arguments that are ids."""

EVENT_ID = _EventId()
"""The type of arguments that are ids of events."""
