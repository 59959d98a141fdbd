"""Adding up what several processes count.

What a process has counted stays in the sums when it ends, so that no counter goes backwards; what
it only shows, such as how much it has in hand, goes with it.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from attrs import define, field
from prometheus_client import Metric, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from notification_entrypoints.observability.metrics import SHARED_GAUGES

_KEPT: Final = frozenset({"counter", "histogram"})

Key = tuple[str, tuple[tuple[str, str], ...]]
"""A series: its name and its labels."""


@define
class _Family:
    """A metric, and the value of each of its series."""

    name: str
    kind: str
    meaning: str
    values: dict[Key, float] = field(factory=dict)

    def add(self, values: Mapping[Key, float]) -> None:
        """Take in the values of another process."""
        for key, value in values.items():
            known = self.values.get(key, 0.0)
            self.values[key] = max(known, value) if self.name in SHARED_GAUGES else known + value

    def metric(self) -> Metric:
        """Return it as it is exposed."""
        metric = Metric(self.name, self.meaning, self.kind)
        for (name, labels), value in self.values.items():
            metric.add_sample(name, dict(labels), value)
        return metric


_Families = Mapping[str, _Family]


class Totals:
    """The sums over several processes, by their numbers."""

    def __init__(self) -> None:
        self._latest: dict[int, _Families] = {}
        self._gone: dict[str, _Family] = {}

    def learn(self, number: int, text: bytes) -> None:
        """Take in what a process says now, in place of what it has said before."""
        self._latest[number] = _parsed(text)

    def ended(self, number: int) -> None:
        """Keep what a process has counted, and forget what it had in hand."""
        kept = [each for each in self._latest.pop(number, {}).values() if each.kind in _KEPT]
        _add(self._gone, kept)

    def exposed(self, silent: Iterable[int] = ()) -> bytes:
        """Return the sums in Prometheus' text format.

        Of those that are ``silent`` now only what they have counted is in it.
        """
        unknown = frozenset(silent)
        sums: dict[str, _Family] = {}
        for number, families in self._latest.items():
            _add(
                sums,
                (each for each in families.values() if each.kind in _KEPT or number not in unknown),
            )
        _add(sums, self._gone.values())
        return generate_latest(_Exposed(sums))


class _Exposed(Collector):
    def __init__(self, families: _Families) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        """Yield all families."""
        yield from (family.metric() for family in self._families.values())


def _add(sums: dict[str, _Family], families: Iterable[_Family]) -> None:
    for each in families:
        known = sums.setdefault(each.name, _Family(each.name, each.kind, each.meaning))
        known.add(each.values)


def _parsed(text: bytes) -> _Families:
    return {
        each.name: _Family(
            each.name,
            each.type,
            each.documentation,
            {(one.name, tuple(one.labels.items())): one.value for one in each.samples},
        )
        for each in text_string_to_metric_families(text.decode())
    }
