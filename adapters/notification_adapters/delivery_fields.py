"""Attempts, deliveries and events as the API writes them, and how a class is registered for it."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

from cattrs.gen import make_dict_unstructure_fn, override
from cattrs.preconf.msgspec import MsgspecJsonConverter

from notification_core.model.delivery import Attempt, ReceivedResponse, SentRequest
from notification_core.model.phases import Phases
from notification_core.model.read_models import DeliveryView, EventRecord, EventSummary
from notification_core.webhooks.filter_trials import TriedEvent

_MILLISECOND: Final = timedelta(milliseconds=1)


def register_deliveries(converter: MsgspecJsonConverter) -> None:
    """Have attempts, deliveries and events written, from the inside out."""
    register_class(converter, SentRequest, headers=override(unstruct_hook=_joined))
    register_class(
        converter,
        ReceivedResponse,
        headers=override(unstruct_hook=_joined),
        # It is a stranger's, and may be anything.
        body=override(unstruct_hook=lambda body: body.decode(errors="replace")),
        phases=override(omit=True),
    )
    in_milliseconds = override(unstruct_hook=milliseconds)
    register_class(
        converter,
        Phases,
        _cattrs_omit_if_default=True,
        dns=in_milliseconds,
        connect=in_milliseconds,
        tls=in_milliseconds,
        first_byte=in_milliseconds,
        read=in_milliseconds,
    )
    _register_attempts(converter)
    register_class(
        converter,
        TriedEvent,
        event_type=override(rename="type"),
        errors=override(unstruct_hook=lambda errors: [error._asdict() for error in errors]),
    )
    for view in (DeliveryView, EventRecord, EventSummary):
        register_class(
            converter,
            view,
            _cattrs_omit_if_default=True,
            environment_id=override(omit=True),
            event_type=override(rename="event"),
        )


def _register_attempts(converter: MsgspecJsonConverter) -> None:
    """Have attempts written, with the phases as parts of their durations."""
    stored_attempt_fields = make_dict_unstructure_fn(
        Attempt,
        converter,
        _cattrs_omit_if_default=True,
        environment_id=override(omit=True),
        event_type=override(rename="event"),
        number=override(rename="attempt"),
        duration=override(rename="duration_ms", unstruct_hook=milliseconds),
        phases=override(omit=True),
    )

    def attempt_fields(attempt: Attempt) -> dict[str, object]:
        fields: dict[str, object] = stored_attempt_fields(attempt)
        if attempt.phases is not None and attempt.duration is not None:
            fields["phases_ms"] = converter.unstructure(attempt.phases.within(attempt.duration))
        return fields

    converter.register_unstructure_hook(Attempt, attempt_fields)


def register_class(converter: MsgspecJsonConverter, cls: type, **options: Any) -> None:
    """Have values of a class written as its fields.

    What writes them is compiled for the first one: each class takes a millisecond, and a start
    would wait for all of them.
    """
    converter.register_unstructure_hook_factory(
        lambda kind: kind is cls,
        lambda kind: make_dict_unstructure_fn(kind, converter, **options),
    )


def _joined(headers: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Return headers as an object; what comes more than once is joined (RFC 9110, section 5.3)."""
    joined = dict(headers)
    if len(set(map(str.lower, joined))) == len(headers):
        return joined
    values: dict[str, list[str]] = {}
    names: dict[str, str] = {}
    for name, value in headers:
        values.setdefault(names.setdefault(name.lower(), name), []).append(value)
    return {name: ", ".join(repeated) for name, repeated in values.items()}


def milliseconds(duration: timedelta) -> float:
    """Return a duration as the API writes it: milliseconds, to the microsecond."""
    return round(duration / _MILLISECOND, 3)
