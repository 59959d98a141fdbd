"""Logging: lines for people on a terminal, JSON lines everywhere else.

Loggers of structlog and of the standard library end in one handler and look the same. A command
calls :func:`configure_logging` once; nothing is configured by an import.
"""

import logging
import os
import re
from collections.abc import Mapping
from datetime import datetime, tzinfo
from functools import lru_cache
from typing import TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from notification_core.model.custom_headers import MASK
from notification_entrypoints.observability.log_output import LogOutput

UNAVAILABLE = "notification_entrypoints.api.unavailable"
"""The logger that says, once in a while, why requests get a 503."""

_TALKATIVE = ("aiokafka", "opentelemetry", UNAVAILABLE)
_SELDOM_SECONDS = 20.0
_MOST_REMEMBERED = 1_000
_OURS = ("notification", "notification_adapters", "notification_entrypoints")
_SECRET = re.compile(
    r"authorization|cookie|token|secret|passw|pass$|passphrase|(?:api|private)-?key|credential",
    re.IGNORECASE,
)


def configure_logging(
    zone: tzinfo, *, debug: bool, stream: TextIO, instance: str | None = None
) -> LogOutput:
    """Send all logs to ``stream``, with times in ``zone``; calling it again replaces that.

    Nothing that logs waits for the stream: see what is returned.

    Where lines are for programs, each names the ``instance`` that wrote it.

    ``debug`` is for our own loggers: a database driver's would write down every parameter. An
    HTTP server's access log is off, since requests are counted and failures logged.
    """
    handler = LogOutput(stream)
    terminal = stream.isatty()
    handler.setFormatter(_formatter(zone, None if terminal else instance, terminal=terminal))
    handler.addFilter(_Seldom(*_TALKATIVE))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    for name in _OURS:
        logging.getLogger(name).setLevel(logging.DEBUG if debug else logging.NOTSET)
    for name in ("aiohttp.access", "aiokafka", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    _configure_structlog()
    return handler


class _Seldom(logging.Filter):
    """Lets loggers that begin so say the same thing, for the same cause, once in a while.

    While brokers are unavailable, Kafka's client writes several lines a second, all alike;
    while the storage is, each request is one that could not be served; while a collector is,
    each batch of spans is one that could not be sent.
    """

    def __init__(self, *prefixes: str) -> None:
        super().__init__()
        self._prefixes = prefixes
        self._logged_at: dict[tuple[str, ...], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether a line is to be written."""
        if not record.name.startswith(self._prefixes):
            return True
        line = record.name, str(record.msg), str(getattr(record, "cause", ""))
        if record.created - self._logged_at.get(line, -_SELDOM_SECONDS) < _SELDOM_SECONDS:
            return False
        if len(self._logged_at) >= _MOST_REMEMBERED:
            self._logged_at.clear()
        self._logged_at[line] = record.created
        return True


def _configure_structlog() -> None:
    """Let the handler's formatter do all the work, so that a logger that is kept never ages."""
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def _formatter(zone: tzinfo, instance: str | None, *, terminal: bool) -> logging.Formatter:
    rendering: list[Processor] = [structlog.processors.JSONRenderer()]
    if terminal:
        colors = not os.environ.get("NO_COLOR")  # noqa: TID251 (no setting: https://no-color.org)
        for_people = structlog.dev.ConsoleRenderer(
            colors=colors, sort_keys=False, exception_formatter=structlog.dev.plain_traceback
        )
        rendering = [_escape_controls, for_people]
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.ExtraAdder()],
        processors=[
            structlog.contextvars.merge_contextvars,
            _stamp_in(zone, instance),
            _mask_secrets,
            # Not structlog's richer tracebacks: they show local variables, and so secrets.
            structlog.processors.format_exc_info,
            *rendering,
        ],
    )


def _stamp_in(zone: tzinfo, instance: str | None) -> Processor:
    named = {} if instance is None else {"instance": instance}

    def stamp(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        """Put in front when, how grave, by whom, where and what; the event cannot say otherwise."""
        record: logging.LogRecord = event.pop("_record")
        del event["_from_structlog"]
        fixed = {
            "timestamp": datetime.fromtimestamp(record.created, zone).isoformat(
                timespec="milliseconds"
            ),
            "level": record.levelname.lower(),
            "logger": record.name,
            **named,
            "event": event.get("event", ""),
        }
        if event.get("trace_id", "") is None:
            del event["trace_id"]
        return {**fixed, **event, **fixed}

    return stamp


def _mask_secrets(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    return {key: _masked(key, value) for key, value in event.items()}


def _masked(key: object, value: object) -> object:
    """Return a value as it may be logged; headers are masked as a mapping and as pairs alike."""
    if isinstance(key, str) and _is_secret(key):
        return MASK
    match value:
        case Mapping():
            return {name: _masked(name, inner) for name, inner in value.items()}
        case (str(name), inner):
            return [name, _masked(name, inner)]
        case list() | tuple():
            return [_masked(None, inner) for inner in value]
        case _:
            return value


@lru_cache(maxsize=1024)
def _is_secret(key: str) -> bool:
    return _SECRET.search(key.replace("_", "-")) is not None


def _escape_controls(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Keep strangers' text from moving the cursor, or from beginning a line of its own."""
    lines = str(event.pop("exception", "")).splitlines()
    escaped = {
        key: _escape(value) if isinstance(value, str) else value for key, value in event.items()
    }
    return escaped | ({"exception": "\n".join(map(_escape, lines))} if lines else {})


def _escape(text: str) -> str:
    return text if text.isprintable() else text.encode("unicode_escape").decode()
