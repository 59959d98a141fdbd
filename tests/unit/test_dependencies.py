"""What it is built on: each dependency has its reason, and an audit says only what it knows."""

import json
import re
import tomllib
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "explanation" / "dependencies.md"


def script(name: str) -> ModuleType:
    """Load a script of docs/, which are run by their path."""
    spec = spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    assert spec
    assert spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def declared() -> set[str]:
    """Return every distribution that pyproject.toml names, but for our own."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    lists = [
        project["project"]["dependencies"],
        *project["project"]["optional-dependencies"].values(),
        *project["dependency-groups"].values(),
    ]
    named = [one for each in lists for one in each if isinstance(one, str)]
    names = {re.split(r"[\[<>=;~! ]", requirement, maxsplit=1)[0] for requirement in named}
    return names - {"notification-management"}


def test_each_dependency_has_its_reason_and_none_is_named_that_is_gone() -> None:
    rows = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| `")]
    explained = [name for row in rows for name in re.findall(r"`([^`]+)`", row.split("|")[1])]
    assert sorted(explained) == sorted(declared())


@pytest.mark.parametrize(
    ("packages", "good", "said"),
    [
        ([], False, "Nothing was audited"),
        ([{"name": "a", "skip_reason": "not found"}], False, "Nothing was audited"),
        ([{"name": "a", "version": "1", "vulns": []}], True, "1 packages audited, 0 of them"),
        (
            [{"name": "a", "version": "1", "vulns": []}, {"name": "b", "skip_reason": "?"}],
            False,
            "Not audited, since nobody knows them: b.",
        ),
        (
            [{"name": "a", "version": "1", "vulns": [{"id": "CVE-1", "fix_versions": ["2"]}]}],
            False,
            "a 1: CVE-1 (fixed in 2)",
        ),
    ],
)
def test_an_audit_says_what_was_found_and_what_nobody_could_tell(
    tmp_path: Path, packages: list[Any], *, good: bool, said: str
) -> None:
    report = tmp_path / "report.json"
    report.write_text(json.dumps({"dependencies": packages}))
    verdict, lines = script("audit").verdict(report)
    assert verdict is good
    assert said in "\n".join(lines)


def test_an_audit_without_a_network_says_so(tmp_path: Path) -> None:
    good, lines = script("audit").verdict(tmp_path / "none.json")
    assert not good
    assert "no network" in lines[0]
