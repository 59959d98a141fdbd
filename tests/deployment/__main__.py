"""``python -m tests.deployment``: the files of deploy/ are what their tools take.

The Dockerfiles and the manifests are validated by hadolint and kubernetes-validate, the unit by
systemd where it is installed. No container engine is needed: the steps of the image are run in a
folder, and its command as somebody else than root, without HOME, on a root that is read-only. Ends
with 1 where anything of that fails.
"""

import json
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from urllib.request import urlopen

from tests.support.ports import free_ports
from tests.support.services import wait_until_ok

ROOT: Final = Path(__file__).parents[2]
DEPLOY: Final = ROOT / "deploy"
PROGRAMS: Final = Path(sys.executable).parent
_UNIT: Final = "notification-management@.service"
_USER: Final = "10001"


def main() -> None:
    """Validate all, and run the image's command."""
    for image in sorted((DEPLOY / "container").glob("*Dockerfile")):
        _run([PROGRAMS / "hadolint", image])
    for manifest in sorted((DEPLOY / "kubernetes").glob("*.yaml")):
        if manifest.name != "kustomization.yaml":  # no resource of a cluster
            _run([PROGRAMS / "kubernetes-validate", "--strict", "--quiet", manifest])
    with TemporaryDirectory() as folder:
        _verify_unit(Path(folder))
        _run_image(Path(folder))


def _verify_unit(folder: Path) -> None:
    """Have systemd read the unit, of a program that is here."""
    if shutil.which("systemd-analyze") is None:
        print("not verified: the unit, since systemd is not installed")
        return
    text = (DEPLOY / "systemd" / _UNIT).read_text()
    unit = folder / _UNIT
    unit.write_text(
        text.replace("/opt/notification-management/bin/notification-management", "/bin/true")
    )
    _run(["systemd-analyze", "verify", "--man=no", unit])


def _run_image(folder: Path) -> None:
    """Install as the Dockerfile does, and run ``up`` as the image does; it must become ready."""
    folder.chmod(0o755)
    installed, dist, data = folder / "opt", folder / "dist", folder / "data"
    commit = _run(["git", "rev-parse", "HEAD"]).strip()
    build = [sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", dist, ROOT]
    _run(build, {"SOURCE_COMMIT": commit})
    venv.create(installed, with_pip=True)
    pip = [installed / "bin/python", "-m", "pip", "install", "--quiet"]
    _run([*pip, "--require-hashes", "--requirement", ROOT / "requirements/service.txt"])
    _run([*pip, "--no-deps", *dist.glob("*.whl")])
    data.mkdir()
    shutil.chown(data, int(_USER), int(_USER))
    api, ops = free_ports(2)
    settings = {"ENV": "production", "TZ": "UTC", "PYTHONDONTWRITEBYTECODE": "1"}
    settings |= {"API_SERVER_PORT": str(api), "OPS_SERVER_PORT": str(ops)}
    settings |= {"DB_ENCRYPTION_SECRET": "0123456789abcdef0123456789abcdef"}
    variables = " ".join(f"{name}={value}" for name, value in settings.items())
    # A mount of its own, which ends with the process: all but the data is read-only in it.
    inside = " ".join(
        (
            f"mount --make-rprivate / && mount --bind {data} {data} &&",
            f"mount -o remount,ro,bind / && cd {data} &&",
            f"exec setpriv --reuid={_USER} --regid={_USER} --clear-groups --no-new-privs",
            f"env --ignore-environment PATH={installed}/bin {variables}",
            "notification-management up",
        )
    )
    print("$ notification-management up, as somebody else, on a root that is read-only", flush=True)
    process = subprocess.Popen(["unshare", "--mount", "sh", "-c", inside])  # noqa: S603, S607 - ours, of the system
    try:
        wait_until_ok(f"http://127.0.0.1:{ops}/readyz", process)
        with urlopen(f"http://127.0.0.1:{ops}/info") as response:
            info = json.load(response)
        if info["commit"] != commit:
            sys.exit(f"/info shows the commit {info['commit']!r} in place of {commit}")
        print(f"ready; /info shows version {info['version']}, commit {commit[:7]}")
    finally:
        process.terminate()
        status = process.wait()
    if status:
        sys.exit(f"it ended with {status}")


def _run(command: Sequence[object], variables: Mapping[str, str] | None = None) -> str:
    """Run a command; return what it prints, and end where it fails."""
    words = [str(word) for word in command]
    print("$", Path(words[0]).name, *words[1:3], flush=True)
    environment = {**os.environ, **(variables or {})}
    done = subprocess.run(words, env=environment, capture_output=True, text=True)  # noqa: PLW1510, S603 - ours
    if done.returncode:
        sys.exit(f"{words[0]} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    main()
