"""Dead letters as the API shows them: bytes in Base64, and the value as text if it is text."""

from base64 import b64encode
from collections.abc import Mapping

from notification_core.ingest.dead_letters import ReplayedLetter
from notification_core.model.event import timestamp_of
from notification_core.ports.dead_letters import DeadLetterSummary, StoredDeadLetter

Fields = Mapping[str, object]


def summary_fields(letter: DeadLetterSummary) -> Fields:
    """Return what a list shows of a dead letter: how many bytes there are, and not the bytes."""
    return {
        "letter_id": letter.letter_id,
        "stored_at": timestamp_of(letter.stored_at),
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "reason": letter.reason,
        **_present(key_size=letter.key_size, value_size=letter.value_size),
    }


def dead_letter_fields(stored: StoredDeadLetter) -> Fields:
    """Return a dead letter with its message; a header may come more than once, or have no value."""
    message = stored.dead_letter.message
    return {
        **summary_fields(stored.summary),
        "timestamp": message.timestamp,
        "headers": [
            {"name": name, **_present(value=_in_base64(value))} for name, value in message.headers
        ],
        **_present(
            key=_in_base64(message.key),
            value=_in_base64(message.value),
            value_text=_text(message.value),
        ),
    }


def replayed_fields(replayed: ReplayedLetter) -> Fields:
    """Return what was published of a dead letter; what does not fit its schema is a warning."""
    event = replayed.event
    warnings = [detail._asdict() for detail in replayed.misfits]
    return {
        "environment_id": event.environment_id,
        "event_id": event.event_id,
        "event": event.type,
        "duplicate": replayed.duplicate,
        **_present(warnings=warnings if warnings and not replayed.duplicate else None),
    }


def _in_base64(value: bytes | None) -> str | None:
    return None if value is None else b64encode(value).decode()


def _text(value: bytes | None) -> str | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return None


def _present(**fields: object) -> Fields:
    return {name: value for name, value in fields.items() if value is not None}
