"""Which tracer the settings choose: OpenTelemetry's own variables say whether there is one."""

import subprocess
import sys

import pytest

from notification_core.errors import InvalidSettings
from notification_core.ports.tracer import SpanKind
from notification_entrypoints.bootstrap.tracer import open_tracer
from notification_entrypoints.config.settings import Settings, load_settings
from tests.support.collector import Collector
from tests.support.waiting import until

SECRET = {"DB_ENCRYPTION_SECRET": "a secret of thirty-two letters !"}
SOMEWHERE = "http://127.0.0.1:4318"


def chosen(**variables: str) -> Settings:
    return load_settings({**SECRET, **variables})


@pytest.mark.parametrize(
    ("variables", "exporters"),
    [
        ({}, []),
        ({"OTEL_TRACES_EXPORTER": "none"}, []),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": SOMEWHERE}, []),
        ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_SDK_DISABLED": "TRUE"}, []),
        ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_SDK_DISABLED": "yes"}, ["otlp"]),
        ({"OTEL_TRACES_EXPORTER": "console, otlp,otlp"}, ["console", "otlp"]),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": SOMEWHERE}, ["otlp"]),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": SOMEWHERE}, ["otlp"]),
    ],
)
async def test_it_is_on_where_the_variables_say_where_spans_go(
    variables: dict[str, str], exporters: list[str]
) -> None:
    settings = chosen(**variables)
    assert list(settings.otel.exporters) == exporters
    async with open_tracer(settings) as tracer:
        assert tracer.is_on is bool(exporters)
        with tracer.start("a span", SpanKind.INTERNAL, None, {}) as span:
            assert (span.traceparent is not None) is tracer.is_on
        assert tracer.current() is None


@pytest.mark.parametrize(
    "protocol", ["OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"]
)
@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "opentelemetry-exporter-zipkin"),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, "opentelemetry-exporter-otlp-proto-grpc"),
    ],
)
async def test_an_exporter_that_is_not_installed_is_named_with_its_package(
    variables: dict[str, str], said: str, protocol: str
) -> None:
    with pytest.raises(InvalidSettings, match=said):
        async with open_tracer(chosen(**variables, **{protocol: "grpc"})):
            raise AssertionError


async def test_without_the_extra_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "notification_adapters.otel.exporters", None)
    with pytest.raises(InvalidSettings, match=r"notification-management\[otel\]") as refused:
        async with open_tracer(chosen(OTEL_TRACES_EXPORTER="otlp")):
            raise AssertionError
    assert [detail.field for detail in refused.value.details] == ["OTEL_TRACES_EXPORTER"]


async def test_the_last_spans_are_sent_at_the_end_and_the_variables_name_the_service(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with Collector() as collector:
        monkeypatch.setenv(
            "OTEL_EXPORTER_OTLP_ENDPOINT", collector.settings["OTEL_EXPORTER_OTLP_ENDPOINT"]
        )
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=red")
        monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "team=red,service.name=ours")
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "3600000")  # only the end sends anything
        settings = chosen(OTEL_TRACES_EXPORTER="otlp", POD_NAME="pod-7")
        async with open_tracer(settings) as tracer:
            with tracer.start("a span", SpanKind.INTERNAL, None, {}):
                pass

        async def has_come() -> bool:
            return bool(collector.spans)

        # The end waits a moment for the collector, which a busy machine may need longer than.
        await until("the span has come", has_come)
        (span,) = collector.spans
        assert span.resource["service.name"] == "ours"
        assert (span.resource["team"], span.resource["service.instance.id"]) == ("red", "pod-7")
        assert collector.headers["x-tenant"] == "red"


def test_nothing_of_it_is_imported_where_it_is_off() -> None:
    script = (
        "import asyncio, sys\n"
        "from notification_entrypoints.bootstrap.tracer import open_tracer\n"
        "from notification_entrypoints.config.settings import load_settings\n"
        "import notification_entrypoints.commands.up, notification_entrypoints.embedded\n"
        "async def run():\n"
        f"    async with open_tracer(load_settings({SECRET!r})): pass\n"
        "asyncio.run(run())\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])\n"
    )
    finished = subprocess.run(  # noqa: S603 - this test's own words
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert finished.stdout.strip() == "[]"
