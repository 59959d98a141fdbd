"""Products of commits, built and installed side by side, so that one run can compare them."""

import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path

from attrs import field, frozen

ROOT = Path(__file__).parents[2]
_COMMAND = "notification-management"
_PACKAGES = ("notification_core", "notification_adapters", "notification_entrypoints")
# Neither the folder that a process is started in nor a path of the caller's brings other code.
_APART = {"PYTHONSAFEPATH": "1", "PYTHONPATH": ""}
_WHERE = f"import {', '.join(_PACKAGES)}\n" + "\n".join(
    f"print({name}.__file__)" for name in _PACKAGES
)


@frozen
class Product:
    """A product that is installed: its command, and the variables that its processes need."""

    command: Path
    variables: Mapping[str, str] = field(factory=dict)


INSTALLED = Product(Path(sys.executable).with_name(_COMMAND))
"""The one of the environment that the benchmarks run in."""


def commit_of(revision: str) -> str:
    """Return the full name of a revision's commit; end with a sentence if there is none."""
    try:
        return _run("git", "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}").strip()
    except SystemExit:
        raise SystemExit(f"there is no commit {revision!r} here") from None


def wheel_of(commit: str | None, folder: Path) -> Path:
    """Build the wheel of a commit, or of this tree as it stands, into a new folder."""
    source = ROOT
    if commit is not None:
        archive, source = folder / "source.zip", folder / "source"
        _run("git", "archive", "--format=zip", f"--output={archive}", commit)
        shutil.unpack_archive(archive, source)
    wheels = folder / "wheel"
    build = (sys.executable, "-m", "hatchling", "build", "--target=wheel", f"--directory={wheels}")
    _run(*build, at=source)
    (wheel,) = wheels.glob("*.whl")
    return wheel


def install(wheel: Path, folder: Path) -> Product:
    """Install a wheel into a new virtual environment, beside the dependencies of this one.

    They are the very same files for each product, so that only our own code differs.
    """
    _run(sys.executable, "-m", "venv", str(folder))
    python = folder / "bin" / "python"
    _run(str(python), "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", str(wheel))
    at = {"base": str(folder), "platbase": str(folder)}
    # What this environment has of the product comes after the wheel, and is never reached.
    packages = Path(sysconfig.get_path("purelib", "venv", at))
    (packages / "locked.pth").write_text(sysconfig.get_path("purelib") + "\n")
    _check(python, packages)
    return Product(folder / "bin" / _COMMAND, _APART)


def _check(python: Path, packages: Path) -> None:
    """End where a process would run other code than that of the wheel."""
    for line in _run("env", *_words(_APART), str(python), "-c", _WHERE).splitlines():
        if not Path(line).is_relative_to(packages):
            raise SystemExit(f"{line} would be measured, not what is in {packages}")


def _words(variables: Mapping[str, str]) -> list[str]:
    return [f"{name}={value}" for name, value in variables.items()]


def _run(*command: str, at: Path = ROOT) -> str:
    ran = subprocess.run(command, cwd=at, capture_output=True, text=True, check=False)  # noqa: S603
    if ran.returncode:
        raise SystemExit(f"{' '.join(command)}: {ran.stdout}{ran.stderr}")
    return ran.stdout
