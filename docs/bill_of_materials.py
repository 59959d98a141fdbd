"""Put what cyclonedx-py leaves out into an SBOM: which version it is of.

Run by ``nox -s build``. What it writes follows from the locked files and the version alone.
"""

import json
import sys
from pathlib import Path
from runpy import run_path

# Not imported: where a release is built the core's own dependencies are not installed.
VERSION = run_path(str(Path(__file__).parents[1] / "notification_core" / "version.py"))["VERSION"]


def complete(written: str) -> str:
    """Return an SBOM whose main component has a version."""
    bill = json.loads(written)
    component = bill["metadata"]["component"]
    component["version"] = VERSION
    component["purl"] = f"pkg:pypi/{component['name']}@{VERSION}"
    return json.dumps(bill, indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    draft, folder = map(Path, sys.argv[1:])
    target = folder / f"notification_management-{VERSION}.cdx.json"
    target.write_text(complete(draft.read_text()))
    print(f"{target} says what is in it.")
