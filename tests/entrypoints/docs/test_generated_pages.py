"""The reference in docs/ says what the code says."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

GENERATE = Path(__file__).parents[3] / "docs" / "generate.py"


def generated(*options: str) -> subprocess.CompletedProcess[str]:
    """Run the generator as `nox -s generate` does: what is beside it can be imported."""
    environ = {name: text for name, text in os.environ.items() if name != "PYTHONSAFEPATH"}
    return subprocess.run(  # noqa: S603 - our own script
        [sys.executable, str(GENERATE), *options],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.long  # CI writes all pages again, and fails if one differs
def test_the_generated_pages_are_those_of_this_code() -> None:
    run = generated("--check")
    assert run.returncode == 0, run.stdout + run.stderr
