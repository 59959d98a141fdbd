"""Metrics of a server process: its API, its event loop, its log, and which of its parts work."""

from collections.abc import Awaitable, Callable, Iterable, Mapping

from notification_entrypoints.observability.log_output import LogOutput
from notification_entrypoints.observability.metric_registry import MetricRegistry

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
FINE_BUCKETS = (0.001, 0.0025, *BUCKETS)

_SERVER_ERRORS = ("500", "503")


class ServerMetrics:
    """Counts what any server has, in a registry of its own."""

    def __init__(self, version: str, commit: str, pod: str, *, serves: bool) -> None:
        self.registry = MetricRegistry()
        self._requests = self.registry.counters(
            "api_requests", "Requests to the API.", ["method", "route", "http_code"]
        )
        self._request_times = self.registry.histogram(
            "api_request_duration_seconds",
            "How long the API took to respond.",
            BUCKETS,
            ["method", "route"],
        )
        self._loop_lag = self.registry.histogram(
            "event_loop_lag_seconds",
            "How late the event loop came to what was due.",
            FINE_BUCKETS,
            (),
        )[()]
        self._health: Callable[[], Awaitable[Mapping[str, bool]]] | None = None
        self._unavailable = self.registry.gauge(
            "part_unavailable", "Whether a part of the process does not work.", ["part"]
        )
        self._log: LogOutput | None = None
        self._log_lines = self.registry.counter(
            "log_lines_dropped", "Lines that could not be written to the log."
        )
        self._lines_counted = 0
        build = self.registry.gauge(
            "build_info", "What is running; always 1.", ["version", "commit", "pod_name"]
        )
        build.labels(version, commit, pod).set(1)
        self.registry.gauge("processes", "Processes that serve.").set(int(serves))
        self._restarts = self.registry.counter(
            "worker_restarts", "Workers that ended by themselves, and were started again."
        )
        self.registry.process()

    def observe_log(self, log: LogOutput) -> None:
        """Ask this, whenever the metrics are read, how many lines could not be written."""
        self._log = log

    def count_log_lines(self) -> None:
        """Count the lines that could not be written since this was called last."""
        dropped = self._log.dropped if self._log else 0
        self._log_lines.inc(dropped - self._lines_counted)
        self._lines_counted = dropped

    def observe_health(self, health: Callable[[], Awaitable[Mapping[str, bool]]]) -> None:
        """Ask this, whenever the metrics are read, which parts of the process work."""
        self._health = health

    def loop_lagged(self, seconds: float) -> None:
        """Count how late the event loop came to something."""
        self._loop_lag.observe(seconds)

    async def ask_health(self) -> None:
        """Note which parts of the process work now."""
        if self._health is None:
            return
        parts = await self._health()
        self._unavailable.clear()  # a part may be there for the start alone
        for part, works in parts.items():
            self._unavailable.labels(part).set(int(not works))

    def worker_exited(self) -> None:
        """Count a worker that ended by itself."""
        self._restarts.inc()

    def api_routes(self, routes: Iterable[tuple[str, str]]) -> None:
        """Show these methods and routes from the start, so that ``rate()`` sees a first error."""
        for method, route in routes:
            _ = self._request_times[method, route]
            for status in _SERVER_ERRORS:
                self._requests[method, route, status] += 0

    def api_request_finished(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request; ``route`` is the template of its path, never the path itself."""
        self._requests[method, route, str(status)] += 1
        self._request_times[method, route].observe(seconds)
