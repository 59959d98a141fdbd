"""Whatever somebody writes as a cursor: it is none of ours, and that is what they are told."""

import sys
from types import SimpleNamespace
from typing import Any, cast

import atheris

with atheris.instrument_imports(include=["notification_entrypoints"]):
    from notification_entrypoints.api.paging import Paging
    from notification_entrypoints.api.problems import RequestRefused

PAGING = Paging(b"a key of the fuzzer that is its own")


class Path(dict[str, str]):
    """What a route has found in a path."""

    route = SimpleNamespace(resource=None)


def one_input(drawn: bytes) -> None:
    """Ask for the page that a made-up cursor begins."""
    text = atheris.FuzzedDataProvider(drawn).ConsumeUnicode(sys.maxsize)
    request = SimpleNamespace(match_info=Path(webhook_id="1"), query={"cursor": text})
    parameters = SimpleNamespace(text=lambda _: text)
    call = cast("Any", SimpleNamespace(request=request, parameters=parameters))
    for page in (PAGING.row, PAGING.event):
        try:
            page(call)
        except RequestRefused:
            continue
        raise AssertionError("a made-up cursor is taken")


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
