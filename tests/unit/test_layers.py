"""What a user gets: a core that brings no technology along, and a wheel with all of it inside."""

import subprocess
import sys
from email import message_from_bytes
from email.message import Message
from importlib.util import find_spec
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.conftest import require

ROOT = Path(__file__).parents[2]
PACKAGES = (
    "notification_client",
    "notification_core",
    "notification_adapters",
    "notification_entrypoints",
)
SOURCES = [ROOT / "notification_core", ROOT / "adapters", ROOT / "entrypoints"]

IMPORT_THE_CORE = """
import sys
from importlib import import_module
from pkgutil import walk_packages

before = set(sys.modules)
core = import_module("notification_core")
for module in walk_packages(core.__path__, "notification_core."):
    import_module(module.name)
brought = {name.partition(".")[0] for name in set(sys.modules) - before}
print(*sorted(brought - sys.stdlib_module_names))
"""


def run(*arguments: str) -> str:
    """Run this Python, with nothing of the checkout on its path but what is installed."""
    finished = subprocess.run(  # noqa: S603 (this test's own words)
        [sys.executable, "-P", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> ZipFile:
    """Build the wheel of this checkout."""
    require(find_spec("hatchling"), "hatchling: pip install -r requirements/build.txt")
    folder = tmp_path_factory.mktemp("wheel")
    run("-m", "hatchling", "build", "-t", "wheel", "-d", str(folder))
    (path,) = folder.iterdir()
    return ZipFile(path)


@pytest.fixture(scope="module")
def metadata(wheel: ZipFile) -> Message:
    """Read what the wheel says of itself."""
    (path,) = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
    return message_from_bytes(wheel.read(path))


def test_the_whole_core_imports_attrs_and_cryptography_and_no_driver() -> None:
    brought = set(run("-c", IMPORT_THE_CORE).split())
    assert brought <= {
        "notification_core",
        "attr",
        "attrs",
        "cryptography",
        "_cffi_backend",
        "_openssl",
    }


def test_the_client_imports_aiohttp_and_msgspec_and_nothing_of_the_service() -> None:
    brought = set(run("-c", "import sys, notification_client; print(*sys.modules)").split())
    ours = {name.partition(".")[0] for name in brought if name.startswith("notification_")}
    assert ours == {"notification_client"}
    assert not brought & {"click", "cryptography", "jsonschema_rs", "sqlalchemy", "yaml"}


def test_verifying_a_signature_costs_nothing_that_only_sending_needs() -> None:
    brought = set(run("-c", "import sys, notification_core; print(*sys.modules)").split())
    assert "notification_core.signing.verification" in brought
    needless = {
        "attrs",
        "notification_core.model.signing_key",
        "cryptography.hazmat.primitives.serialization",
    }
    assert not needless & brought


def test_the_wheel_holds_the_three_packages_and_nothing_else(wheel: ZipFile) -> None:
    folders = {name.partition("/")[0] for name in wheel.namelist()}
    assert {folder for folder in folders if not folder.endswith(".dist-info")} == set(PACKAGES)


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_of_the_wheel_is_typed(wheel: ZipFile, package: str) -> None:
    assert f"{package}/py.typed" in wheel.namelist()


def test_every_module_of_the_checkout_is_in_the_wheel(wheel: ZipFile) -> None:
    modules = {path for source in SOURCES for path in source.rglob("*.py")}
    inside = {
        path.relative_to(next(folder.parent for folder in path.parents if folder.name in PACKAGES))
        for path in modules
    }
    assert {path.as_posix() for path in inside} <= set(wheel.namelist())


def test_the_core_alone_asks_for_two_distributions(metadata: Message) -> None:
    required = [line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert sorted(line.partition(">")[0] for line in required) == ["attrs", "cryptography"]


def test_the_wheel_says_that_it_is_proprietary(metadata: Message, wheel: ZipFile) -> None:
    assert metadata["License-Expression"] == "LicenseRef-Proprietary"
    (licence,) = [name for name in wheel.namelist() if name.endswith("/licenses/LICENSE")]
    assert b"All rights reserved" in wheel.read(licence)
