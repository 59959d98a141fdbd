"""Applying filters: compiled once, in turns with others, and never in the way of events."""

import asyncio
import json
from collections.abc import Sequence
from itertools import count
from typing import Any

import pytest
from attrs import define, field

from notification_adapters.event_formats.filter_compiler import JsonSchemaFilterCompiler
from notification_adapters.memory import ManualClock
from notification_core.errors import InvalidFilter
from notification_core.ingest.event_filters import EventFilters
from notification_core.ports.filter_compiler import CompiledFilter, FilterCompiler

BODY = b'{"id":"1","type":"job-completed","data":{"status":"failed","values":[1,2]}}'
FAILED = '{"properties":{"data":{"properties":{"status":{"const":"failed"}}}}}'
DONE = '{"properties":{"data":{"properties":{"status":{"const":"done"}}}}}'


@define
class CountingCompiler(FilterCompiler):
    """Compiles as the real one, and counts; it refuses what ``refused`` says."""

    refused: Sequence[str] = ()
    compiled: list[str] = field(factory=list)
    parsed: int = 0
    _compiler: FilterCompiler = field(factory=JsonSchemaFilterCompiler)

    def compile(self, text: str) -> CompiledFilter:
        self.compiled.append(text)
        if text in self.refused:
            raise InvalidFilter("refused")
        return self._compiler.compile(text)

    def parse(self, body: bytes) -> object:
        self.parsed += 1
        return self._compiler.parse(body)


def event_filters(compiler: FilterCompiler | None = None) -> EventFilters:
    return EventFilters(compiler or JsonSchemaFilterCompiler(), ManualClock())


async def test_the_filters_are_told_that_a_body_matches() -> None:
    assert await event_filters().matching({FAILED, DONE, "{}"}, BODY) == {FAILED, "{}"}


async def test_a_filter_is_compiled_once_and_a_body_parsed_once_for_all() -> None:
    compiler = CountingCompiler()
    filters = event_filters(compiler)
    for _ in range(3):
        await filters.matching([FAILED, DONE], BODY)
    assert sorted(compiler.compiled) == sorted([FAILED, DONE])
    assert compiler.parsed == 3
    await filters.matching([], BODY)
    assert compiler.parsed == 3


async def test_the_filters_used_last_are_kept_ready() -> None:
    compiler = CountingCompiler()
    filters = event_filters(compiler)
    for number in range(1_500):
        await filters.matching([FAILED, json.dumps({"title": str(number)})], BODY)
    assert compiler.compiled.count(FAILED) == 1
    await filters.matching([json.dumps({"title": "0"})], BODY)
    assert len(compiler.compiled) == 1_502


@pytest.mark.parametrize("body", [b'{"data":1e300}', b'{"data":' + b"1" * 50 + b"}"])
async def test_a_body_that_cannot_be_represented_matches_nothing(body: bytes) -> None:
    assert not await event_filters().matching(["{}"], body)
    (error,) = await event_filters().errors("{}", body)
    assert error.field == "body"
    assert "between 1e-40 and 1e40" in error.message


async def test_a_body_with_too_many_values_for_a_filter_does_not_match_it() -> None:
    body = b'{"data":[' + b"1," * 5_000 + b"1]}"
    heavy = '{"properties":{"data":{"items":{"minimum":0}}}}'
    assert await event_filters().matching([heavy, "{}"], body) == {"{}"}
    (error,) = await event_filters().errors(heavy, body)
    assert "more values" in error.message


async def test_a_stored_filter_that_is_no_longer_accepted_matches_nothing() -> None:
    compiler = CountingCompiler(refused=[FAILED])
    filters = event_filters(compiler)
    assert await filters.matching([FAILED, "{}"], BODY) == {"{}"}
    assert await filters.matching([FAILED], BODY) == set()
    assert compiler.compiled.count(FAILED) == 1


async def test_errors_say_why_and_there_are_none_for_a_match() -> None:
    assert not await event_filters().errors(FAILED, BODY)
    (error,) = await event_filters().errors(DONE, BODY)
    assert error.field == "data.status"


async def test_a_filter_is_validated_by_the_rule_and_by_the_compiler() -> None:
    filters = event_filters()
    assert not filters.validate(FAILED)
    assert [detail.field for detail in filters.validate('{"$ref":"#"}')] == ["filter.$ref"]
    assert [detail.field for detail in filters.validate('{"type":"text"}')] == ["filter.type"]


class SlowClock(ManualClock):
    """Lets three milliseconds pass at every look at it."""

    def __init__(self) -> None:
        super().__init__()
        self._looks = count()

    def monotonic(self) -> float:
        return next(self._looks) * 0.003


async def test_others_have_their_turn_while_many_filters_are_applied() -> None:
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    filters = EventFilters(JsonSchemaFilterCompiler(), SlowClock())
    other = asyncio.create_task(others())
    texts: Any = [json.dumps({"title": str(number)}) for number in range(100)]
    await filters.matching(texts, BODY)
    other.cancel()
    assert turns >= 40
