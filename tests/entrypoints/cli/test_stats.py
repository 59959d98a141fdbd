"""``stats``: figures with their trends for people, and what the API returns for programs."""

import io
import json
import sys
from collections.abc import Mapping

import pytest

from notification_entrypoints.cli import main
from notification_entrypoints.cli.stats import sparkline
from notification_entrypoints.commands.exit_codes import Exit
from tests.entrypoints.fake_api import FakeApi
from tests.support.output import Output

ID = "019aa5b0-0000-7000-8000-000000000001"
STATS = f"/webhooks/{ID}/stats"
NOTHING = {
    "attempts": {"succeeded": 0, "failed": 0, "interrupted": 0},
    "errors": {},
    "deliveries": {"succeeded": 0, "failed": 0, "skipped": 0, "cancelled": 0},
}
BUSY = {
    "attempts": {"succeeded": 30, "failed": 10, "interrupted": 0},
    "errors": {"timeout": 10},
    "deliveries": {"succeeded": 30, "failed": 0, "skipped": 0, "cancelled": 0},
    "attempt_duration_ms": {"p50": 12.5, "p95": 80.0, "p99": 90.0},
    "delivery_time_ms": {"p50": 40.0, "p95": 3000.0, "p99": 4000.0},
}
SOME = BUSY | {
    "attempts": {"succeeded": 15, "failed": 0, "interrupted": 0},
    "errors": {},
    "attempt_duration_ms": {"p50": 25.0, "p95": 25.0, "p99": 25.0},
}
TOTAL = BUSY | {"attempts": {"succeeded": 45, "failed": 10, "interrupted": 0}}


def statistics(total: object, *buckets: Mapping[str, object]) -> dict[str, object]:
    return {
        "since": "2026-03-01T00:00:00Z",
        "until": "2026-03-01T03:00:00Z",
        "bucket": "hour",
        "total": total,
        "buckets": [{"start": "2026-03-01T00:00:00Z", **bucket} for bucket in buckets],
    }


def test_each_figure_has_its_total_and_its_trend(api: FakeApi, capsys: Output) -> None:
    api.responds("GET", STATS, (200, statistics(TOTAL, NOTHING, BUSY, SOME)))
    assert main(["stats", ID, "--utc"]) == 0
    head, columns, *rows = capsys.readouterr().out.splitlines()
    assert head == "2026-03-01 00:00:00.000 UTC to 2026-03-01 03:00:00.000 UTC, by hour"
    assert columns.split() == ["figure", "total", "highest", "trend"]
    figures = {row[:25].strip(): row[25:].split() for row in rows}
    assert figures["attempts succeeded"] == ["45", "30", "▁█▅"]
    assert figures["attempts failed"] == ["10", "10", "▁█▁"]
    assert figures["error timeout"] == ["10", "10", "▁█▁"]
    assert figures["deliveries succeeded"] == ["30", "30", "▁██"]
    # In an hour in which nothing was sent there is no duration, and not a short one.
    assert figures["attempt duration p50 (ms)"] == ["12.5", "25.0", "▅█"]
    assert "attempts interrupted" not in figures
    assert "deliveries skipped" not in figures
    assert api.requests[0].path.endswith("/stats?bucket=hour")


def test_the_time_and_the_bucket_are_asked_for(api: FakeApi, capsys: Output) -> None:
    api.responds("GET", f"/environments/{ID}/stats", (200, statistics(NOTHING, NOTHING)))
    options = ["--since", "2026-03-01T00:00:00Z", "--until", "2026-03-02T00:00:00Z"]
    assert main(["stats", "--environment", ID, "--bucket", "day", *options]) == 0
    assert capsys.readouterr().out == "Nothing was sent within this time.\n"
    query = api.requests[0].path.partition("?")[2]
    assert query.replace("%3A", ":") == (
        "bucket=day&since=2026-03-01T00:00:00Z&until=2026-03-02T00:00:00Z"
    )


def test_programs_get_what_the_api_returns(api: FakeApi, capsys: Output) -> None:
    answer = statistics(TOTAL, BUSY, NOTHING)
    api.responds("GET", STATS, (200, answer))
    assert main(["stats", ID, "--output", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == answer


def test_what_the_api_refuses_is_said_with_what_would_be_right(
    api: FakeApi, capsys: Output
) -> None:
    detail = {"field": "since", "message": "These are 2,000 minutes. Ask with bucket=hour."}
    refusal = {"message": "The time is refused: see the details.", "details": [detail]}
    api.responds("GET", STATS, (400, refusal))
    assert main(["stats", ID, "--bucket", "minute", "--since", "33h"]) != 0
    assert "Ask with bucket=hour." in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], [ID, "--environment", ID]])
def test_it_is_of_a_webhook_or_of_an_environment(arguments: list[str], capsys: Output) -> None:
    assert main(["stats", *arguments]) == Exit.USAGE
    assert "either WEBHOOK_ID or --environment" in capsys.readouterr().err


def test_the_environment_of_the_variable_is_meant_where_no_webhook_is_named(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFICATION_ENVIRONMENT", ID)
    api.responds("GET", f"/environments/{ID}/stats", (200, statistics(NOTHING, NOTHING)))
    assert main(["stats"]) == 0
    api.responds("GET", STATS, (200, statistics(NOTHING, NOTHING)))
    assert main(["stats", ID]) == 0


def test_a_long_time_is_put_together() -> None:
    assert sparkline([0] * 119 + [5], sum) == "▁" * 59 + "█"
    assert sparkline([None] * 60 + [1.0] * 60, max) == " " * 30 + "█" * 30
    assert len(sparkline([1] * 1000, sum)) <= 60
    assert sparkline([], sum) == ""


def test_where_blocks_cannot_be_printed_a_trend_is_of_ascii(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), "ascii"))
    assert sparkline([0, 1, 8, None], sum) == "_.# "
