"""The page of the architecture: its picture shows the imports, its path names functions."""

import ast
import re
from collections.abc import Set as AbstractSet
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs/explanation/architecture.md"
PICTURE = ROOT / "docs/explanation/architecture.svg"
FOLDERS = {
    "notification_core": ROOT / "notification_core",
    "notification_adapters": ROOT / "adapters/notification_adapters",
    "notification_entrypoints": ROOT / "entrypoints/notification_entrypoints",
}
EVERYBODYS = {"errors", "version"}
LINKS = re.findall(r"\[`([\w.]+)`\]\(([./\w]+\.py)\)", PAGE.read_text("utf-8"))

Arrow = tuple[str, str]


def imports_within(package: str) -> AbstractSet[Arrow]:
    """Return which parts of a package import which others, except for what everybody may."""
    arrows = set()
    for path in FOLDERS[package].rglob("*.py"):
        importer = path.relative_to(FOLDERS[package]).parts[0].removesuffix(".py")
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            match node:
                case ast.ImportFrom(module=str(module), names=names):
                    imported = [f"{module}.{alias.name}" for alias in names]
                case ast.Import(names=names):
                    imported = [alias.name for alias in names]
                case _:
                    continue
            parts = [name.split(".")[1] for name in imported if name.startswith(f"{package}.")]
            arrows |= {(importer, part) for part in parts}
    return {
        (importer, imported)
        for importer, imported in arrows
        if importer not in {imported, "__init__", *EVERYBODYS} and imported not in EVERYBODYS
    }


def drawn_arrows() -> AbstractSet[Arrow]:
    text = PICTURE.read_text("utf-8")
    return {(a, b) for a, b in re.findall(r"<title>(\w+) imports (\w+)</title>", text)}


def followed(arrows: AbstractSet[Arrow]) -> AbstractSet[Arrow]:
    """Return from where to where arrows lead, one after another."""
    paths = set(arrows)
    while longer := {(a, d) for a, b in paths for c, d in arrows if b == c} - paths:
        paths |= longer
    return paths


def test_each_arrow_of_the_picture_is_an_import() -> None:
    imports = {arrow for package in FOLDERS for arrow in imports_within(package)}
    assert drawn_arrows() - imports == set()


@pytest.mark.parametrize("package", FOLDERS)
def test_each_import_is_an_arrow_of_the_picture_or_follows_from_some(package: str) -> None:
    assert imports_within(package) - followed(drawn_arrows()) == set()


def test_each_package_is_in_the_picture() -> None:
    shown = set(re.findall(r'<text class="name".*?>(\w+)</text>', PICTURE.read_text("utf-8")))
    parts = {
        path.name.removesuffix(".py")
        for folder in FOLDERS.values()
        for path in folder.iterdir()
        if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert parts - EVERYBODYS - {"__init__"} == shown


@pytest.mark.parametrize(("name", "link"), LINKS)
def test_each_function_of_the_path_is_where_the_page_says(name: str, link: str) -> None:
    tree: ast.AST = ast.parse((PAGE.parent / link).read_text("utf-8"))
    for part in name.split("."):
        defined = {
            node.name: node
            for node in ast.iter_child_nodes(tree)
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        }
        assert part in defined, f"{link} has no {name}: name the function that does this step now"
        tree = defined[part]


def test_the_path_has_at_most_15_steps_and_each_links_to_its_function() -> None:
    path = PAGE.read_text("utf-8").partition("## The path of an event")[2]
    steps = re.split(r"^\d+\. ", path.partition("\n\nFrom Kafka")[0], flags=re.MULTILINE)[1:]
    assert 10 <= len(steps) <= 15
    assert all(".py)" in step for step in steps)
