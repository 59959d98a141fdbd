"""``python -m tests.monitoring``: alerts fire for their faults, and the dashboard has data.

The rules are tested by promtool, and then by real faults (``faults.py``; words choose some of them,
and ``dashboard`` none). Then a Prometheus of its own scrapes a server under load, with a
receiver that works and one that fails: every query of the dashboard must give a series, and the
panels are drawn into docs/how-to/operate/dashboard.svg. Ends with 1 where anything of that fails.
"""

import asyncio
import json
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import aiohttp

from tests.monitoring.picture import DrawnPanel, Line, draw
from tests.monitoring.rules import rule_tests
from tests.monitoring.trials import try_faults
from tests.support.ports import free_ports
from tests.support.services import responding, running, until_ok

ROOT: Final = Path(__file__).parents[2]
RULES: Final = ROOT / "deploy/prometheus/notification-management.rules.yaml"
DASHBOARD: Final = ROOT / "deploy/grafana/notification-management.json"
PICTURE: Final = ROOT / "docs/how-to/operate/dashboard.svg"
_SECONDS: Final = 60
_VARIABLES: Final = {"$__rate_interval": "10s", "$job": ".*"}
# What only an installation with a Kafka or with an outage has.
_MAY_BE_EMPTY: Final = {"notification_kafka_consumer_lag_messages"}
_TYPE: Final = "job-created"


def main() -> None:
    """Test the rules by promtool and by real faults, and then the dashboard."""
    words = sys.argv[1:]
    if words != ["dashboard"]:
        _test_alerts(words)
    if words in ([], ["dashboard"]):
        _draw_dashboard()


def _test_alerts(words: Sequence[str]) -> None:
    with TemporaryDirectory() as folder:
        tests = Path(folder) / "tests.yaml"
        tests.write_text(rule_tests(RULES))
        for command in (("check", "rules", str(RULES)), ("test", "rules", str(tests))):
            print("$ promtool", *command[:2], flush=True)
            subprocess.run(("promtool", *command), check=True)  # noqa: S603 - ours
    if wrong := try_faults(RULES.read_text(), words):
        sys.exit(f"Other alerts fired than should, or none does: {', '.join(wrong)}")


def _draw_dashboard() -> None:
    panels = asyncio.run(_measured_panels())
    PICTURE.write_text(draw(panels))
    empty = [panel.title for panel in panels if not panel.lines and panel.must_have_lines]
    print(f"{len(panels)} panels, drawn into {PICTURE.relative_to(ROOT)}")
    if empty:
        sys.exit(f"No series for: {', '.join(empty)}")


async def _measured_panels() -> Sequence[DrawnPanel]:
    """Run everything for a minute, and ask each panel's queries."""
    api, ops, prometheus, receiver = free_ports(4)
    with TemporaryDirectory() as folder:
        variables = {
            "API_SERVER_PORT": api,
            "OPS_SERVER_PORT": ops,
            "WEBHOOKS_RETRY_INTERVAL": "1s",
        }
        up = ("notification-management", "up", "--data", f"{folder}/data")
        config = Path(folder) / "prometheus.json"  # JSON is YAML
        config.write_text(json.dumps(_config(ops)))
        scrape = (
            *("prometheus", f"--config.file={config}", f"--storage.tsdb.path={folder}/series"),
            f"--web.listen-address=127.0.0.1:{prometheus}",
        )
        async with (
            responding(receiver),
            running(Path(folder), up, {name: str(value) for name, value in variables.items()}),
            running(Path(folder), scrape, {}),
            aiohttp.ClientSession() as client,
        ):
            await until_ok(client, f"http://127.0.0.1:{ops}/readyz")
            await until_ok(client, f"http://127.0.0.1:{prometheus}/-/ready")
            await _load(client, f"http://127.0.0.1:{api}/api", f"http://127.0.0.1:{receiver}")
            return await _ask(client, f"http://127.0.0.1:{prometheus}")


def _config(ops: int) -> Mapping[str, object]:
    targets = [{"targets": [f"127.0.0.1:{ops}"]}]
    job = {"job_name": "notification-management", "static_configs": targets}
    return {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(RULES)],
        "scrape_configs": [job],
    }


async def _load(client: aiohttp.ClientSession, api: str, receivers: str) -> None:
    """Publish some events a second for a minute."""
    environment = f"{api}/environments/{uuid.uuid4()}"
    for status in (HTTPStatus.OK, HTTPStatus.INTERNAL_SERVER_ERROR):
        webhook = {"name": status.phrase, "url": f"{receivers}/{status:d}", "events": [_TYPE]}
        async with client.post(f"{environment}/webhooks", json=webhook) as response:
            response.raise_for_status()
    async with client.get(f"{api}/webhooks/events") as response:
        types = await response.json()
    example = next(known["example"] for known in types if known["name"] == _TYPE)
    for second in range(_SECONDS):
        # More in the middle, so that there is something to see.
        batches = 8 if second in range(20, 40) else 3
        events = [{"event": _TYPE, "data": example} for _ in range(10)]
        for _ in range(batches):
            async with client.post(f"{environment}/events", json=events) as response:
                response.raise_for_status()
        await asyncio.sleep(1)
        if second % 10 == 0:
            print(f"load: {second} of {_SECONDS} s", flush=True)


async def _ask(client: aiohttp.ClientSession, prometheus: str) -> Sequence[DrawnPanel]:
    content = json.loads(DASHBOARD.read_text())
    panels = []
    for panel in content["panels"]:
        lines: list[Line] = []
        queries = [target["expr"] for target in panel.get("targets", ())]
        for target in panel.get("targets", ()):
            lines += await _lines(client, prometheus, target["expr"], target["legendFormat"])
        # The most first: a legend has room for some.
        lines.sort(key=lambda line: -max(value for _, value in line.points))
        is_row = panel["type"] == "row"
        may_be_empty = any(name in query for name in _MAY_BE_EMPTY for query in queries)
        unit = panel.get("fieldConfig", {}).get("defaults", {}).get("unit", "")
        must_have_lines = not (is_row or may_be_empty)
        panels.append(DrawnPanel(panel["title"], unit, lines, is_row, must_have_lines))
    return panels


async def _lines(
    client: aiohttp.ClientSession, prometheus: str, query: str, legend: str
) -> Sequence[Line]:
    """Return the series of a query over the last minute."""
    for name, value in _VARIABLES.items():
        query = query.replace(name, value)
    end = time.time()
    parameters = {"query": query, "start": str(end - _SECONDS), "end": str(end), "step": "1"}
    async with client.get(f"{prometheus}/api/v1/query_range", params=parameters) as response:
        found = await response.json()
    if found["status"] != "success":
        sys.exit(f"{query}: {found['error']}")
    lines = []
    for series in found["data"]["result"]:
        label = legend
        for name, value in series["metric"].items():
            label = label.replace(f"{{{{{name}}}}}", value)
        points = [
            (float(at) - end, float(value)) for at, value in series["values"] if value != "NaN"
        ]
        if points:
            lines.append(Line(label.replace("{{worker}}", "").strip(), points))
    return lines


if __name__ == "__main__":
    main()
