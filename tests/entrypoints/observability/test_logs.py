"""Logs: JSON lines for machines, readable lines for people, and secrets for nobody."""

import io
import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
import structlog

from notification_entrypoints.observability.logs import UNAVAILABLE, configure_logging

MONTREAL = ZoneInfo("America/Montreal")
PASSWORD = "hunter2"
NAMES = [None, "aiohttp.access", "aiokafka", "notification_adapters", "notification_entrypoints"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in NAMES]
    before = [(logger.handlers[:], logger.level) for logger in loggers]
    yield
    for logger, (handlers, level) in zip(loggers, before, strict=True):
        logger.handlers[:] = handlers
        logger.setLevel(level)
    structlog.contextvars.clear_contextvars()
    structlog.reset_defaults()


@pytest.fixture
def stream() -> io.StringIO:
    """Return what is logged where no terminal is."""
    stream = io.StringIO()
    configure_logging(MONTREAL, debug=False, stream=stream)
    return stream


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Return what is logged on a terminal that wants no colour."""
    monkeypatch.setenv("NO_COLOR", "1")
    terminal = Terminal()
    configure_logging(MONTREAL, debug=False, stream=terminal)
    return terminal


def test_each_line_for_programs_names_the_instance() -> None:
    stream = io.StringIO()
    configure_logging(MONTREAL, debug=False, stream=stream, instance="pod-7")
    ours().info("started", instance="somebody else")
    assert [line["instance"] for line in lines(stream)] == ["pod-7"]


def ours() -> structlog.stdlib.BoundLogger:
    logger: structlog.stdlib.BoundLogger = structlog.get_logger("notification_adapters.test")
    return logger


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def line(stream: io.StringIO) -> dict[str, object]:
    (only,) = lines(stream)
    return only


def test_a_line_says_when_how_grave_by_whom_and_what(stream: io.StringIO) -> None:
    ours().warning("storage is unavailable", attempt=3)
    written = line(stream)
    assert list(written) == ["timestamp", "level", "logger", "event", "attempt"]
    assert written["level"] == "warning"
    assert written["logger"] == "notification_adapters.test"
    assert written["event"] == "storage is unavailable"
    assert written["attempt"] == 3


def test_a_library_s_line_looks_like_ours(stream: io.StringIO) -> None:
    logging.getLogger("some.library").warning("lost %s of %d", "one", 2, extra={"broker": "b1"})
    written = line(stream)
    assert list(written) == ["timestamp", "level", "logger", "event", "broker"]
    assert written["event"] == "lost one of 2"
    assert written["logger"] == "some.library"


def test_times_are_in_the_configured_zone_with_their_offset(stream: io.StringIO) -> None:
    ours().info("now")
    written = datetime.fromisoformat(str(line(stream)["timestamp"]))
    assert abs(written - datetime.now(UTC)) < timedelta(minutes=1)
    assert written.utcoffset() == datetime.now(MONTREAL).utcoffset()


def test_an_event_cannot_pass_for_another_time_or_level(stream: io.StringIO) -> None:
    ours().error("real", timestamp="1970", level="info", logger="else")
    written = line(stream)
    assert written["level"] == "error"
    assert written["logger"] == "notification_adapters.test"
    assert written["timestamp"] != "1970"


def test_what_is_bound_to_the_context_is_on_every_line(stream: io.StringIO) -> None:
    structlog.contextvars.bind_contextvars(request_id="r1")
    ours().info("ours")
    logging.getLogger("some.library").info("theirs")
    assert [written["request_id"] for written in lines(stream)] == ["r1", "r1"]


@pytest.mark.parametrize(
    "key",
    [
        "password",
        "DB_AUTH_PASS",
        "db_encryption_secret",
        "api_key",
        "apikey",
        "Authorization",
        "Set-Cookie",
        "access_token",
        "private_key",
        "credentials",
    ],
)
def test_values_under_secret_keys_are_masked(stream: io.StringIO, key: str) -> None:
    ours().info("ours", **{key: PASSWORD})
    ours().info("nested", settings={"deep": [{key: PASSWORD}]})
    ours().info("pairs", headers=(("Accept", "*/*"), (key, PASSWORD)))
    logging.getLogger("some.library").info("theirs", extra={key: PASSWORD})
    structlog.contextvars.bind_contextvars(**{key: PASSWORD})
    ours().info("bound")
    assert PASSWORD not in stream.getvalue()
    assert stream.getvalue().count("***") == 5
    assert lines(stream)[2]["headers"] == [["Accept", "*/*"], [key, "***"]]


def test_other_values_are_left_alone(stream: io.StringIO) -> None:
    ours().info("sent", webhook_id="w", passed=True, key_id="k", urls=["a", "b"], keys=("a",))
    written = line(stream)
    assert written["webhook_id"] == "w"
    assert written["passed"] is True
    assert written["key_id"] == "k"
    assert written["urls"] == ["a", "b"]


def fail(password: str) -> None:
    raise RuntimeError("it broke") from ValueError(f"{len(password)} letters")


@pytest.mark.parametrize("library", [False, True])
def test_an_exception_is_told_with_its_traceback_but_not_its_variables(
    stream: io.StringIO, *, library: bool
) -> None:
    logger = logging.getLogger("some.library") if library else ours()
    try:
        fail(PASSWORD)
    except RuntimeError:
        logger.exception("survived")
    told = str(line(stream)["exception"])
    assert "RuntimeError: it broke" in told
    assert "ValueError: 7 letters" in told
    assert "in fail" in told
    assert PASSWORD not in told


def test_debug_lines_are_there_only_when_asked_for_and_only_our_own() -> None:
    quiet, loud = io.StringIO(), io.StringIO()
    for stream, debug in ((quiet, False), (loud, True)):
        configure_logging(UTC, debug=debug, stream=stream)
        ours().debug("ours")
        logging.getLogger("aiosqlite").debug("INSERT INTO secrets")
    assert lines(quiet) == []
    assert [written["event"] for written in lines(loud)] == ["ours"]


def test_a_kept_logger_follows_a_new_configuration() -> None:
    first, second = io.StringIO(), io.StringIO()
    logger = ours()
    configure_logging(UTC, debug=False, stream=first)
    logger.info("one")
    configure_logging(MONTREAL, debug=False, stream=second)
    logger.info("two")
    assert line(first)["event"] == "one"
    assert line(second)["event"] == "two"
    assert not str(line(second)["timestamp"]).endswith("+00:00")


def test_the_access_log_is_off_but_its_warnings_are_not(stream: io.StringIO) -> None:
    logging.getLogger("aiohttp.access").info("GET /")
    logging.getLogger("aiohttp.access").warning("cannot log")
    assert line(stream)["event"] == "cannot log"


def test_what_is_not_text_is_logged_all_the_same(stream: io.StringIO) -> None:
    ours().info("odd", when=timedelta(seconds=1), raw=b"\xff", text="é\x1b[31m\n")
    assert line(stream)["text"] == "é\x1b[31m\n"
    assert "\x1b" not in stream.getvalue()


def test_a_terminal_gets_a_readable_line(terminal: Terminal) -> None:
    ours().info("sent", webhook="w1", password=PASSWORD)
    text = terminal.getvalue()
    assert "[info" in text
    assert "sent" in text
    assert "webhook=w1" in text
    assert "password=***" in text
    assert "\x1b" not in text


def test_a_terminal_gets_colour_unless_it_is_unwanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    terminal = Terminal()
    configure_logging(UTC, debug=False, stream=terminal)
    ours().info("sent")
    assert "\x1b[" in terminal.getvalue()


def test_a_stranger_s_text_cannot_command_the_terminal_or_forge_a_line(terminal: Terminal) -> None:
    evil = "x\x1b[2J\nforged"
    logging.getLogger("some.library").warning("answered %s", evil)
    ours().warning("answered", text=evil)
    try:
        raise RuntimeError(evil)  # noqa: TRY301 - an exception that a library raised
    except RuntimeError:
        ours().exception("survived")
    assert "\x1b" not in terminal.getvalue()
    first, second, *_ = terminal.getvalue().splitlines()
    assert "forged" in first
    assert "forged" in second
    assert "RuntimeError: x" in terminal.getvalue()


def test_kafkas_client_says_the_same_once_in_a_while_and_other_things_too(
    stream: io.StringIO,
) -> None:
    client = logging.getLogger("aiokafka.consumer.fetcher")
    for node in range(100):
        logging.getLogger("aiokafka").error("Unable connect to node with id %s: %s", node, "away")
        client.error("Failed fetch messages from %s: %s", node, "away")
        client.warning("Not authorized to read from topic %s.", "t")
        client.info("Subscribed")
    said = [(one["level"], one["event"]) for one in lines(stream)]
    assert said == [
        ("error", "Unable connect to node with id 0: away"),
        ("error", "Failed fetch messages from 0: away"),
        ("warning", "Not authorized to read from topic t."),
    ]
    later = logging.LogRecord(
        client.name, logging.ERROR, "", 0, "Failed fetch messages from %s: %s", (1, "away"), None
    )
    later.created += 21
    client.handle(later)
    assert lines(stream)[-1]["event"] == "Failed fetch messages from 1: away"


def test_why_requests_are_not_served_is_said_once_in_a_while_for_each_cause(
    stream: io.StringIO,
) -> None:
    for cause in ["away", "away", "full", "away"]:
        logging.getLogger(UNAVAILABLE).warning("service_unavailable", extra={"cause": cause})
    assert [one["cause"] for one in lines(stream)] == ["away", "full"]


def test_what_we_say_ourselves_is_never_left_out(stream: io.StringIO) -> None:
    for _ in range(3):
        ours().error("background_task_failed")
    assert len(lines(stream)) == 3
