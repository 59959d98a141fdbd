"""Tracing, by the variables of OpenTelemetry's specification: those that say whether it is on."""

# ruff: noqa: RUF009 - the calls in the class body make attrs fields, as attrs.field() does

from collections.abc import Sequence
from enum import StrEnum

from attrs import frozen

from notification_entrypoints.config.parsers import TEXT, Parser, one_of, optional
from notification_entrypoints.config.variables import setting

_BOOLEAN = Parser(lambda text: text.strip().lower() == "true", "true or false")
"""As the specification has it: whatever is not true is false."""


class OtlpProtocol(StrEnum):
    """How spans go to a collector."""

    HTTP = "http/protobuf"
    GRPC = "grpc"


_PROTOCOL = optional(one_of(OtlpProtocol))


@frozen(kw_only=True)
class OtelSettings:
    """OpenTelemetry's own variables, as far as they say whether there is tracing.

    Its SDK reads these and all others itself, from the environment of the process.
    """

    sdk_disabled: bool = setting(_BOOLEAN, "false", "Turn tracing off, whatever else is set.")
    traces_exporter: str = setting(
        TEXT,
        "",
        "Where spans go: otlp, console, another exporter that is installed, several of them with "
        "commas between, or none; empty for otlp if an endpoint is set, else for no tracing.",
    )
    exporter_otlp_endpoint: str = setting(
        TEXT, "", "The OTLP collector, such as http://localhost:4318."
    )
    exporter_otlp_traces_endpoint: str = setting(
        TEXT, "", "The same for spans alone, with its path: http://localhost:4318/v1/traces."
    )
    exporter_otlp_protocol: OtlpProtocol | None = setting(
        _PROTOCOL, "", "How to speak to the collector; empty for http/protobuf."
    )
    exporter_otlp_traces_protocol: OtlpProtocol | None = setting(
        _PROTOCOL, "", "The same for spans alone."
    )

    @property
    def exporters(self) -> Sequence[str]:
        """Where spans go, each once; nowhere while tracing is off."""
        if self.sdk_disabled:
            return ()
        has_endpoint = self.exporter_otlp_endpoint or self.exporter_otlp_traces_endpoint
        text = self.traces_exporter or ("otlp" if has_endpoint else "")
        names = dict.fromkeys(name.strip() for name in text.split(","))
        return [name for name in names if name not in {"", "none"}]

    @property
    def protocol(self) -> OtlpProtocol:
        """How to speak to the collector."""
        chosen = self.exporter_otlp_traces_protocol or self.exporter_otlp_protocol
        return chosen or OtlpProtocol.HTTP
