"""Forms: reading what was sent, and putting what is wrong with it beside its field."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final

from aiohttp import web
from multidict import MultiDictProxy

from notification_core.errors import Detail
from notification_entrypoints.api.problems import RequestRefused

_FIRST: Final = re.compile(r"[.\[]")
Sent = MultiDictProxy[str | bytes | bytearray | web.FileField]


async def sent_form(request: web.Request) -> Sent:
    """Return the fields that a form has sent; files are none of ours."""
    return await request.post()


def text_of(form: Sent, name: str) -> str:
    """Return a field without the spaces around it, empty if it is missing."""
    value = form.get(name, "")
    return value.strip().replace("\r\n", "\n") if isinstance(value, str) else ""


def key_of(form: Sent) -> str | None:
    """Return the ``Idempotency-Key`` of a form, so that one that is sent twice is done once."""
    return text_of(form, "idempotency_key") or None


def texts_of(form: Sent, name: str) -> Sequence[str]:
    """Return all values of a field that may be there more than once."""
    return [value.strip() for value in form.getall(name, ()) if isinstance(value, str)]


def errors_by_field(details: Sequence[Detail], whole: Sequence[str]) -> Mapping[str, Sequence[str]]:
    """Return what is wrong by the fields of a form.

    ``whole`` are the fields of an object or a list that the form has one place for. What is wrong
    with a part of those, as with ``events[2]``, stands there.
    """
    found: dict[str, list[str]] = defaultdict(list)
    for field, message in details:
        first = _FIRST.split(field, maxsplit=1)[0]
        name = first if first in whole else field
        part = field[len(first) :].lstrip(".") if name != field else ""
        told = f"{part}: {message}" if part and not part.startswith("[") else message
        if told not in found[name]:
            found[name].append(told)
    return dict(found)


def refused_by(refusal: RequestRefused, whole: Sequence[str] = ()) -> Mapping[str, Any]:
    """Return what a page says of a refusal: its ``status``, and its ``errors`` by field.

    What is of no field stands under an empty name.
    """
    no_field = {"": [str(refusal)]}
    errors = errors_by_field(refusal.details, whole) if refusal.details else no_field
    return {"status": refusal.problem.value.http_code, "errors": errors}
