"""The overview: is it healthy, and if not, where to look."""

from notification_entrypoints.console.charts import Bar, line, stacked_bars
from tests.entrypoints.api_services import log_gone, log_success
from tests.entrypoints.console.conftest import HOSTILE, Console
from tests.entrypoints.console.scenes import publish, subscribed


async def test_an_environment_without_webhooks_says_what_would_be_here(console: Console) -> None:
    page = await console.get(console.of_environment())
    assert "There are no webhooks yet" in page.words
    assert "No webhooks yet" in page.words


async def test_says_in_a_sentence_that_all_is_well(console: Console) -> None:
    await subscribed(console)
    await publish(console)
    await log_success(console.stage)
    page = await console.get(console.of_environment())
    assert "All deliveries of the last day succeeded. No webhook needs attention." in page.words
    assert "Success rate 100 %" in page.words
    assert "1 succeeded, 0 failed" in page.text


async def test_names_the_webhooks_that_need_attention_and_why(console: Console) -> None:
    await subscribed(console, name=HOSTILE)
    await publish(console)
    await log_gone(console.stage)
    page = await console.get(console.of_environment())
    assert "1 of 1 deliveries of the last day failed. 1 webhook needs attention." in page.words
    assert f"{HOSTILE} disabled The receiver responded with 410 Gone" in page.words
    assert "<script>alert" not in page.text


def test_bars_are_stacked_in_proportion_and_described() -> None:
    drawn = stacked_bars("Deliveries", [Bar("a", {"good": 3, "bad": 1}), Bar("<b>", {"good": 0})])
    assert "<title>Deliveries</title><desc>3 good, 1 bad</desc>" in drawn
    assert "&lt;b&gt;: nothing" in drawn
    assert 'height="87.0"' in drawn
    assert 'height="29.0"' in drawn


def test_a_line_has_a_gap_if_a_value_is_missing() -> None:
    drawn = line("Time", [1.0, 2.0, None, 4.0], ["a", "b", "c", "d"])
    assert drawn.count("<polyline") == 2
    assert line("Time", [], []).count("<polyline") == 0
