"""The metrics of a running server are named by Prometheus' conventions.

The rules are those of ``promtool check metrics``, which is run too if it is installed, and that a
name consists of words of the API and of the field: https://prometheus.io/docs/practices/naming/.
"""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.faults.stage import running
from tests.support.receivers import Receiver
from tests.support.waiting import until

SNAKE_CASE = re.compile(r"[a-z]+(_[a-z]+)*")
TYPES = {"counter", "gauge", "histogram", "summary"}
OF_OTHER_TYPES = {"bucket", "count", "created", "sum"}
NOT_BASE_UNITS = {
    *("ms", "milliseconds", "us", "microseconds", "minutes", "hours", "days"),
    *("kb", "kilobytes", "mb", "megabytes", "mib", "kib", "bits", "percent", "percentage"),
}
ABBREVIATED = {"s", "sec", "secs", "b", "h", "m"}
NOT_WORDS_OF_THE_FIELD = {
    *("begun", "berth", "child", "children", "crew", "facts", "freed", "grace", "handed", "half"),
    *("kept", "land", "lane", "lanes", "over", "refused", "room", "short", "taken", "told"),
}


async def metrics_after_a_delivery(folder: Path) -> str:
    """Return what a server exposes that has delivered an event and had an attempt fail."""
    async with Receiver(500, 200) as receiver, running(folder) as (up, api):
        await api.subscribe(receiver.url)
        await api.publish("event-1")

        async def is_delivered() -> bool:
            return 'outcome="succeeded"' in await up.metrics()

        await until("the event is delivered", is_delivered)
        return await up.metrics()


def complaints(text: str) -> Iterator[str]:
    """Yield what is wrong with the names of metrics and labels."""
    types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
    for metric in text_string_to_metric_families(text):
        name = f"{metric.name}_total" if f"{metric.name}_total" in types else metric.name
        words = name.split("_")
        labels = {label for sample in metric.samples for label in sample.labels}
        values = {value for sample in metric.samples for value in sample.labels.values()}
        of_another_type = {*TYPES, *OF_OTHER_TYPES} & set(words)
        wrong_units = (NOT_BASE_UNITS | ABBREVIATED) & set(words)
        private = NOT_WORDS_OF_THE_FIELD & {*words, *labels, *"_".join(values).split("_")}
        rules = {
            # What every process shows is named as Prometheus' own collectors name it.
            "begins with notification_ or process_": words[0] in {"notification", "process"},
            "is written in snake_case": all(map(SNAKE_CASE.fullmatch, (name, *labels))),
            "has a help text": bool(metric.documentation),
            "ends in _total if it is a counter, and only then": (words[-1] == "total")
            == (metric.type == "counter"),
            f"does not name a type, as {of_another_type} do": not of_another_type,
            f"has base units, written out, and not {wrong_units}": not wrong_units,
            "ends in _seconds if it is a duration": words[-1] == "seconds"
            or not {"age", "delay", "duration"} & set(words),
            f"has words of the API and the field, and not {private}": not private,
        }
        yield from (f"Not so: {name} {rule}" for rule, holds in rules.items() if not holds)


async def test_the_metrics_of_a_running_server_follow_the_conventions(tmp_path: Path) -> None:
    text = await metrics_after_a_delivery(tmp_path)
    assert list(complaints(text)) == []
    if promtool := shutil.which("promtool"):
        checked = subprocess.run(  # noqa: ASYNC221, S603 - it takes milliseconds
            [promtool, "check", "metrics"], input=text, capture_output=True, text=True, check=False
        )
        assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


@pytest.mark.parametrize(
    "text",
    [
        "# HELP notification_a_total A.\n# TYPE notification_a_total gauge\nnotification_a_total 1",
        "# HELP notification_a A.\n# TYPE notification_a counter\nnotification_a 1",
        "# HELP notification_a_ms A.\n# TYPE notification_a_ms gauge\nnotification_a_ms 1",
        "# HELP notification_delay A.\n# TYPE notification_delay gauge\nnotification_delay 1",
        "# TYPE notification_a gauge\nnotification_a 1",
        "# HELP notification_kept A.\n# TYPE notification_kept gauge\nnotification_kept 1",
        '# HELP notification_a A.\n# TYPE notification_a gauge\nnotification_a{perLane="x"} 1',
    ],
)
def test_a_name_outside_of_the_conventions_is_found(text: str) -> None:
    assert list(complaints(f"{text}\n"))
