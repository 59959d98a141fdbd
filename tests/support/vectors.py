"""The published test vectors, as they are read from their files."""

import json
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parents[1] / "vectors"


def vectors(name: str) -> Any:
    """Return the vectors of a file, named without its ending."""
    return json.loads((_FOLDER / f"{name}.json").read_text())
