"""A retry policy as a picture: when each attempt is made, if all of them fail."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from attrs import frozen
from markupsafe import Markup

from notification_core.model.delivery import Retry
from notification_core.model.durations import parse_duration
from notification_core.model.retry_overrides import RetryOverrides, validate_retry
from notification_core.model.retry_policy import RetryPolicy
from notification_entrypoints.console.charts import marks
from notification_entrypoints.console.rendering import milliseconds

_MILLISECOND = timedelta(milliseconds=1)


@frozen
class RetrySchedule:
    """When attempts are made at the earliest, counted from the first one."""

    picture: Markup
    times: Sequence[str]
    sentence: str


def retry_schedule(policy: RetryPolicy, retry: Mapping[str, Any]) -> RetrySchedule | None:
    """Return the schedule of a policy that a webhook's own ``retry`` overrides.

    None if that is not valid: what is wrong with it is said elsewhere.
    """
    try:
        overrides = RetryOverrides(
            max_retries=_value(retry, "max_retries", int),
            interval=_value(retry, "interval", parse_duration),
            backoff=_value(retry, "backoff", float),
            max_interval=_value(retry, "max_interval", parse_duration),
        )
    except ValueError:
        return None
    if any(validate_retry(overrides)):
        return None
    policy = policy.overridden_by(overrides)
    at, times = timedelta(), [timedelta()]
    for failures in range(policy.max_retries + 1):
        step = policy.after_failure(failures, jitter=0.0)
        if isinstance(step, Retry):
            at += step.after
            times.append(at)
    told = ["at once", *(milliseconds(time / _MILLISECOND) for time in times[1:])]
    attempts = f"{len(times)} attempts" if len(times) > 1 else "1 attempt"
    over = f" over {told[-1]}" if len(times) > 1 else ""
    sentence = f"{attempts}{over}, then the delivery has failed."
    seconds = [time.total_seconds() for time in times]
    return RetrySchedule(marks(f"Retry schedule: {sentence}", seconds, told), told, sentence)


def _value(retry: Mapping[str, Any], name: str, parse: Any) -> Any:
    text = str(retry.get(name, "") or "")
    return parse(text) if text else None
