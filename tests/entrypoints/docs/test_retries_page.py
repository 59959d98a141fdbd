"""The presets that the page on retries shows are taken, and come when its tables say."""

import re
from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
import pytest

from notification_adapters.converters import ApiConverter
from notification_core.model.delivery import Retry
from notification_core.model.durations import format_duration
from notification_core.model.retry_overrides import validate_retry
from notification_core.model.retry_policy import RetryPolicy
from tests.entrypoints.api_examples import DRAFT

PAGE = (Path(__file__).parents[3] / "docs/how-to/retries.md").read_text()
PRESETS = re.findall(r"```json\n(.*?)\n```\n\n.*?\n.*?\n\| at \|(.*?)\|\n", PAGE, re.DOTALL)


def test_there_are_three_presets() -> None:
    assert len(PRESETS) == 3


@pytest.mark.parametrize(("text", "row"), PRESETS)
def test_a_presets_attempts_come_when_its_table_says(text: str, row: str) -> None:
    draft = ApiConverter(ZoneInfo("UTC")).draft(DRAFT | {"retry": msgspec.json.decode(text)})
    assert draft.retry
    assert [*validate_retry(draft.retry)] == []
    policy = RetryPolicy().overridden_by(draft.retry)
    at, times = timedelta(), ["0s"]
    while isinstance(step := policy.after_failure(len(times) - 1, jitter=0.0), Retry):
        at += step.after
        times.append(format_duration(at))
    assert times == [cell.strip() for cell in row.split("|")]
