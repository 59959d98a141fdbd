"""What the pages for operators name, there is: metrics, log lines, settings, and each page."""

import ast
import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGES = sorted((ROOT / "docs/how-to/operate").glob("*.md"))
LEVELS = {"info": "info", "warning": "warning", "error": "error", "exception": "error"}
PACKAGES = {"notification_adapters", "notification_core", "notification_entrypoints"}
OURS = "notification"
TOLD = ("cause", "message")


@cache
def _sources() -> str:
    folders = (ROOT / "entrypoints", ROOT / "adapters", ROOT / "notification_core")
    paths = [path for folder in folders for path in sorted(folder.rglob("*.py"))]
    return "\n".join(path.read_text() for path in paths)


@cache
def _said_in_code() -> frozenset[tuple[str, str]]:
    """Return the level and the text of every log call."""
    return frozenset(_log_calls(ast.parse(_sources())))


def _log_calls(tree: ast.Module) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        match node:
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id=logger), attr=level),
                args=[ast.Constant(value=str(text)), *_],
            ) if logger.startswith("_log") and level in LEVELS:
                yield LEVELS[level], text
            case _:
                pass


def _quoted(page: Path) -> Iterator[Mapping[str, str]]:
    """Yield the log lines that a page shows."""
    for block in re.findall(r"```json\n(.*?)```", page.read_text(), re.DOTALL):
        yield from (json.loads(line) for line in block.splitlines())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_metric_that_a_page_names_is_described(page: Path) -> None:
    described = set(
        re.findall(r"^`(\w+)`$", (ROOT / "docs/reference/metrics.md").read_text(), re.MULTILINE)
    )
    named = set(re.findall(r"\bnotification_[a-z_]+", page.read_text())) - PACKAGES
    # A query for a quantile names the series of a histogram's buckets.
    assert {name.removesuffix("_bucket") for name in named} <= described


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_label_that_a_query_names_is_described(page: Path) -> None:
    reference = (ROOT / "docs/reference/metrics.md").read_text()
    for metric, labels in re.findall(r"\b(notification_[a-z_]+)\{(.*?)\}", page.read_text()):
        (described,) = re.findall(rf"^`{metric}`\n: \w+, by (.*?)\. ", reference, re.MULTILINE)
        named = set(re.findall(r"(\w+)[=!]", labels))
        assert named <= set(re.findall(r"\w+", described)), metric


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_setting_that_a_page_names_exists(page: Path) -> None:
    settings = (ROOT / "docs/reference/settings.md").read_text()
    named = re.findall(r"\b(?:API|DB|KAFKA|OPS|RETENTION|WEBHOOKS)_[A-Z_]+\b", page.read_text())
    assert [name for name in named if f"`{name}`" not in settings] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_line_that_a_page_quotes_can_be_said(page: Path) -> None:
    for line in _quoted(page):
        if line["logger"].startswith(OURS):
            assert (line["level"], line["event"]) in _said_in_code()
            # What follows a colon is the cause, which another program has given.
            told = [line.get(key, "").partition(": ")[0] for key in TOLD]
            assert [text for text in told if text not in _sources()] == []


def test_every_event_in_the_log_is_named_in_snake_case() -> None:
    events = {event for _, event in _said_in_code()} - {"%s"}  # a host that embeds reads sentences
    assert [event for event in events if not re.fullmatch("[a-z_]+", event)] == []


def test_every_page_can_be_found() -> None:
    index = (ROOT / "docs/how-to/operate/index.md").read_text()
    others = [page.name for page in PAGES if page.stem != "index"]
    assert [name for name in others if f"]({name})" not in index] == []
