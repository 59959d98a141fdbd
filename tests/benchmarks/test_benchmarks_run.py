"""The benchmarks run and print their table; how fast anything is, no test says."""

import re
import subprocess
import sys
from pathlib import Path


def test_the_end_to_end_bench_prints_its_table() -> None:
    ran = subprocess.run(  # noqa: S603 - this interpreter with our own script
        [
            sys.executable, str(Path(__file__).with_name("end_to_end.py")),
            "--count", "20", "--rounds", "1", "--batch", "10",
        ],
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr
    for row in ("deliveries/s", "raw aiohttp requests/s", "CPU per delivery", "CPU per raw"):
        assert re.search(rf"^{row}.* \d+$", ran.stdout, re.MULTILINE), ran.stdout
    assert re.search(r"^deliveries over raw +\d\.\d{3}", ran.stdout, re.MULTILINE)
