"""The phases of attempts as they are stored."""

from datetime import timedelta
from typing import Final

import msgspec
from attrs import asdict

from notification_adapters.sql.instants import MICROSECOND
from notification_core.model.phases import REUSED, Phases

_NOT_MEASURED: Final = ""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, int]).decode


def phases_text(phases: Phases | None) -> str | None:
    """Return what is stored of phases.

    Of nearly all attempts that is NULL, which takes no room and no parameter: they were sent on a
    connection that was open, so that their duration says it all.
    """
    if phases == REUSED:
        return None
    if phases is None:
        return _NOT_MEASURED
    measured = {
        name: took // MICROSECOND for name, took in asdict(phases).items() if took is not None
    }
    return _encode(measured).decode()


def phases_from(text: str | None) -> Phases | None:
    """Return the phases that a text of :func:`phases_text` holds."""
    if text is None:
        return REUSED
    if text == _NOT_MEASURED:
        return None
    return Phases(**{name: timedelta(microseconds=took) for name, took in _decode(text).items()})
