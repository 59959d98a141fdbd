"""The page of the log: each event with its level and fields from the code, and what it means."""

import ast
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from attrs import frozen

CHECKOUT = Path(__file__).parents[1]
SOURCES = (
    CHECKOUT / "notification_core",
    CHECKOUT / "adapters" / "notification_adapters",
    CHECKOUT / "entrypoints" / "notification_entrypoints",
)
LEVELS: Mapping[str, str] = {
    "debug": "debug",
    "info": "info",
    "warning": "warning",
    "error": "error",
    "exception": "error",
}

# An event that is missing here, or is not logged any more, fails `nox -s generate`.
MEANINGS: Mapping[str, str] = {
    "attempt_finished": "An attempt has ended. The result is not written yet.",
    "attempt_started": "The request of an attempt is about to be sent.",
    "authentication_failed": "A request had a credential that was rejected, for the `cause`; "
    "`claimed` names the key or subject that it claims to be. What was sent is never logged.",
    "background_task_failed": "The background task `task` failed, and is retried. "
    "`WorkerLockLost` of the task `lock` means that the process has lost its connection to "
    "PostgreSQL, and sends nothing until it has it again.",
    "delivery_claimed": "This process has claimed a delivery, with its insert or later.",
    "delivery_failed": "A delivery has failed: its retries are exhausted, or its webhook was "
    "paused for too long. The line names the latest one.",
    "event_conflicted": "A publisher used an `event_id` again with other data. The first event "
    "stands.",
    "event_received": "An event has come in, and is to be stored.",
    "event_stored": "An event was committed with so many `deliveries`; `arrival` says whether it "
    "is new.",
    "jwks_over_plain_http": "The issuer's keys are fetched over plain http from another host: "
    "whoever is between can replace them.",
    "leases_reaped": "Expired leases, and those of a dead worker, were reclaimed; the attempts "
    "are logged as `interrupted`.",
    "log_lines_dropped": "The log could not be written: `count` lines are missing before this one.",
    "message_dead_lettered": "A message from Kafka is not an event, for the `reason`; it was "
    "stored as a dead letter. The line names the latest one.",
    "open_files_limit_too_low": "The process may open fewer files than its settings need.",
    "ops_request_failed": "A request to the ops server failed unexpectedly, and got 500.",
    "readiness_check_failed": "The check of a part failed unexpectedly; `/readyz` names the part.",
    "request_failed": "A request to the API failed unexpectedly, and got 500.",
    "resource_exhausted": "This host ran out of the `resource`; `message` says what to do. "
    "No retry is used up.",
    "result_written": "The result of an attempt was committed; `next_step` is what follows.",
    "results_fenced": "This process was slower than its lease: another worker had reclaimed the "
    "deliveries, so its stale results were rejected (fencing). Receivers may have got these "
    "events twice.",
    "service_unavailable": "Requests to the API get 503, for the `cause`; logged every 20 seconds "
    "per cause.",
    "shutdown_forced": "The process did not stop in time, and ended at once. Its leases are "
    "reaped.",
    "signer_rejected": "A signer computes wrong signatures, and another one is used.",
    "started": "The process serves; the fields say where and what.",
    "stopping": "The process has received a signal to stop.",
    "supervisor_started": "The supervisor of `--workers` starts its workers.",
    "unknown_variable": "A variable begins as ours do and is not a setting; `nearest` is the "
    "setting with the nearest name.",
    "webhook_disabled": "The system disabled a webhook for the `reason`.",
    "webhook_paused": "The circuit breaker paused a webhook since its attempts kept failing.",
    "webhook_resumed": "A webhook that was paused is sent to again: an attempt has succeeded.",
    "worker_exited": "A worker ended by itself, or could not be started (then `pid` is null). It "
    "is started again after `restart_delay_seconds`.",
    "workers_killed": "Workers did not stop in time, and the supervisor killed them.",
}


@frozen
class LogEvent:
    """An event that the code logs."""

    name: str
    level: str
    fields: Sequence[str]


def log_events() -> Iterator[LogEvent]:
    """Yield each log call of the product."""
    for source in SOURCES:
        for path in sorted(source.rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                match node:
                    case ast.Call(
                        func=ast.Attribute(value=ast.Name(id=logger), attr=level),
                        args=[ast.Constant(value=str(name))],
                    ) if logger.startswith("_log") and level in LEVELS:
                        yield LogEvent(name, LEVELS[level], list(_fields(node, path)))
                    case _:
                        pass
    # Written by the handler itself, since no logger may be asked there.
    yield LogEvent("log_lines_dropped", "warning", ["count"])


def _fields(call: ast.Call, path: Path) -> Iterator[str]:
    for keyword in call.keywords:
        match keyword:
            case ast.keyword(arg="exc_info"):
                yield "exception"
            case ast.keyword(arg="extra", value=ast.Dict(keys=keys)) if all(keys):
                yield from (str(ast.literal_eval(key)) for key in keys if key is not None)
            case ast.keyword(arg=str(name)) if name != "extra":
                yield name
            case _:
                raise SystemExit(
                    f"{path}:{call.lineno}: name the fields of a log event one by one."
                )
    if isinstance(call.func, ast.Attribute) and call.func.attr == "exception":
        yield "exception"


def log_events_page() -> Sequence[str]:
    """Return the parts of the page."""
    events = list(log_events())
    logged = {event.name for event in events}
    if unexplained := sorted(logged ^ MEANINGS.keys()):
        raise SystemExit(f"docs/log_events_page.py and the code differ in {unexplained}.")
    return [
        "# Log events",
        (
            "Where the log is not a terminal, each line is a JSON object: `timestamp`, `level`, "
            "`logger`, `instance` (`POD_NAME`), `event`, and the fields of the event. With "
            "`--workers` a line names its `worker`. An event with `count` is logged at once and "
            "then at most every 20 seconds; `count` is how often it happened since the line "
            "before, and the [metrics](metrics.md) count every time. With "
            "[tracing](../how-to/tracing.md) a line that belongs to a trace has its `trace_id`. "
            "The lines of level `debug` are written where `DEBUG` is set: they follow each event "
            "by its `event_id`. Libraries log sentences of their own under their names."
        ),
        *(_event(name, events) for name in sorted(logged)),
    ]


def _event(name: str, events: Sequence[LogEvent]) -> str:
    calls = [event for event in events if event.name == name]
    levels = " or ".join(sorted({call.level for call in calls}))
    fields = dict.fromkeys(field for call in calls for field in call.fields)
    named = f", with {', '.join(f'`{field}`' for field in fields)}" if fields else ""
    return f"`{name}`\n: {levels}{named}.\n  {MEANINGS[name]}"
