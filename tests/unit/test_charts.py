"""A chart has what was measured in it, and is read by what reads SVG."""

from xml.dom.minidom import parseString

from tests.faults.charts import chart


def test_a_chart_has_a_line_for_each_series_and_a_mark_for_each_moment() -> None:
    lines = {"one & only": [(0.0, 1.0), (10.0, 4.0)], "other": [(0.0, 2.0)]}
    drawn = parseString(chart("memory", "bytes", lines, marks=[(5.0, 0.0)]))  # noqa: S318 - our own
    assert len(drawn.getElementsByTagName("polyline")) == 2
    assert len(drawn.getElementsByTagName("line")) == 2, "the mark, and the axis"
    for words in ("memory", "one &amp; only", "other", "4 bytes", "10 s"):
        assert f">{words}</text>" in drawn.toxml()


def test_a_chart_of_nothing_is_a_chart() -> None:
    assert parseString(chart("nothing", "", {}))  # noqa: S318 - our own
