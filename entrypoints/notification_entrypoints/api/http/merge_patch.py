"""Merge patches (RFC 7396): a change of a JSON object, written as the part of it that changes."""

from collections.abc import Collection, Mapping

from notification_core.model.event_filter import MAX_FILTER_DEPTH


def merged(
    target: Mapping[str, object], patch: Mapping[str, object], removable: Collection[str]
) -> dict[str, object]:
    """Return the target as the patch changes it.

    A null takes a field away. One that takes away a field that is not ``removable`` stays, so that
    whoever checks the outcome can name it. An object whose fields are all taken away goes too.
    """
    outcome = dict(target)
    for name, change in patch.items():
        value = change
        if isinstance(change, dict):
            fields = _merged(outcome.get(name), change, MAX_FILTER_DEPTH * 2)
            value = None if change and not fields else fields
        if value is None and name in removable:
            outcome.pop(name, None)
        else:
            outcome[name] = value
    return outcome


def _merged(old: object, change: dict[str, object], levels: int) -> dict[str, object]:
    """Return an object as a change of it says; no field of ours has so many ``levels``."""
    fields = dict(old) if isinstance(old, dict) else {}
    for name, value in change.items():
        if value is None:
            fields.pop(name, None)
        elif isinstance(value, dict) and levels:
            fields[name] = _merged(fields.get(name), value, levels - 1)
        else:
            fields[name] = value
    return fields
