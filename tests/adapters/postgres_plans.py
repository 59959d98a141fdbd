"""What the server really did for the statements of a block: the plans, with the rows it touched."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from attrs import define, field
from sqlalchemy.engine.interfaces import AdaptedConnection

from notification_adapters.sql.postgres.server import PostgresConnection

LARGE = {"events", "deliveries", "attempts"}
_EXPLAIN = """
LOAD 'auto_explain';
SET auto_explain.log_min_duration = 0;
SET auto_explain.log_analyze = on;
SET auto_explain.log_timing = off;
SET auto_explain.log_format = 'json';
SET auto_explain.log_level = 'notice';
"""


@define
class Plans:
    """The nodes of all plans since it was emptied that read a large table."""

    nodes: list[dict[str, Any]] = field(factory=list)

    def read(self) -> int:
        """Return how many rows of large tables were read."""
        return sum(_rows(node) for node in self.nodes)

    def told(self) -> str:
        """Return what was read, the most first."""
        most = sorted(self.nodes, key=_rows, reverse=True)[:5]
        return "\n".join(f"{_rows(node)} by {node}" for node in most)

    def scans(self) -> set[str]:
        """Return the ways in which large tables were read, but for by an index."""
        kinds = {str(node["Node Type"]) for node in self.nodes}
        return {kind for kind in kinds if "Index" not in kind}

    def take(self, _: object, message: object) -> None:
        """Collect what the server reports about a statement."""
        _, marker, text = str(getattr(message, "message", "")).partition("plan:")
        if marker:
            self.nodes += [
                node
                for node in _all_nodes(json.loads(text)["Plan"])
                if node.get("Relation Name") in LARGE and "Scan" in node["Node Type"]
            ]


@contextmanager
def explained() -> Iterator[Plans]:
    """Have every connection that is opened meanwhile explain what it does."""
    plans = Plans()

    async def begin(driver: PostgresConnection) -> None:
        await driver.execute(_EXPLAIN)
        driver.add_log_listener(plans.take)

    def configure(connection: AdaptedConnection, _: object) -> None:
        connection.run_async(begin)

    sa.event.listen(sa.Pool, "connect", configure)
    try:
        yield plans
    finally:
        sa.event.remove(sa.Pool, "connect", configure)


def _all_nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from _all_nodes(child)


def _rows(node: dict[str, Any]) -> int:
    removed = (node.get(f"Rows Removed by {what}", 0) for what in ("Filter", "Index Recheck"))
    return int((node["Actual Rows"] + sum(removed)) * node["Actual Loops"])
