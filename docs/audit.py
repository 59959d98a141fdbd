"""Tell what pip-audit has found, and plainly where it could find nothing out.

Run by ``nox -s audit`` on pip-audit's report in JSON. Where nobody who knows of vulnerabilities can
be reached, pip-audit itself skips each package and ends with "no known vulnerabilities".
"""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

UNKNOWN = (
    "Nothing was audited: nobody who knows of vulnerabilities can be reached from here (no "
    "network, or an index that only serves packages). This says nothing about our dependencies. "
    "Run it where the advisories of the Python Package Index can be reached."
)


def verdict(report: Path) -> tuple[bool, Sequence[str]]:
    """Return whether all packages are known to be good, and what is to be said."""
    if not report.exists():
        return False, [UNKNOWN]
    packages: Sequence[Mapping[str, Any]] = json.loads(report.read_text())["dependencies"]
    judged = [package for package in packages if "vulns" in package]
    if not judged:
        return False, [UNKNOWN]
    bad = [_named(package) for package in judged if package["vulns"]]
    unknown = [package["name"] for package in packages if "vulns" not in package]
    said = [f"{len(judged)} packages audited, {len(bad)} of them with known vulnerabilities.", *bad]
    if unknown:
        said.append(f"Not audited, since nobody knows them: {', '.join(unknown)}.")
    return not bad and not unknown, said


def _named(package: Mapping[str, Any]) -> str:
    found = ", ".join(
        f"{each['id']} (fixed in {', '.join(each['fix_versions']) or 'no version yet'})"
        for each in package["vulns"]
    )
    return f"{package['name']} {package['version']}: {found}"


if __name__ == "__main__":
    good, lines = verdict(Path(sys.argv[1]))
    print("\n".join(lines))
    sys.exit(0 if good else 1)
