"""Measure the structure of the product's code: modules, functions, names, parameters, layers.

``python -m tests.structure`` prints the figures of this tree, with ``--at REVISION`` those of a
commit beside them, and with ``--list`` which functions and names are over a limit. Everything is
read from the syntax tree; nothing is imported.

A function's length is from its ``def`` to its end, decorators excluded; functions within functions
count too. A private function is used once if its name, which begins with ``_``, stands in exactly
one place outside of its own definition: of a method in its class, or in its module if no other
class there has a method of that name; of a function in its module. ``self`` and ``cls`` are not
parameters. A flat module lies directly in its package, and is not ``__init__``.
"""

import argparse
import ast
import io
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Final

ROOT: Final = Path(__file__).parents[1]
CORE: Final = "notification_core"
ENTRYPOINTS: Final = "notification_entrypoints"
PACKAGES: Final[Mapping[str, str]] = {
    CORE: "notification_core",
    "notification_adapters": "adapters/notification_adapters",
    ENTRYPOINTS: "entrypoints/notification_entrypoints",
}

LONGEST_FUNCTION: Final = 50
LONGEST_MODULE: Final = 400
MOST_PARAMETERS: Final = 10
MOST_FLAT: Final[Mapping[str, int]] = {CORE: 6, ENTRYPOINTS: 8}

_Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Function:
    """A function or method of the product."""

    place: str
    name: str
    lines: int
    parameters: int
    is_used_once: bool

    def __str__(self) -> str:
        return f"{self.place} {self.name}"


@dataclass(frozen=True)
class Module:
    """A module of the product."""

    package: str
    path: str
    lines: int
    is_flat: bool
    classes: Sequence[str]
    functions: Sequence[Function]


@dataclass(frozen=True)
class Structure:
    """What is measured of a tree."""

    modules: Sequence[Module]
    contracts: int
    rows: int
    exceptions: int

    @property
    def functions(self) -> Sequence[Function]:
        """The functions of all modules."""
        return [function for module in self.modules for function in module.functions]

    @property
    def long_functions(self) -> Sequence[str]:
        """The functions that are too long."""
        long = (function for function in self.functions if function.lines > LONGEST_FUNCTION)
        return [f"{function} has {function.lines} lines" for function in long]

    @property
    def long_modules(self) -> Sequence[str]:
        """The modules that are too long."""
        long = (module for module in self.modules if module.lines > LONGEST_MODULE)
        return [f"{module.path} has {module.lines} lines" for module in long]

    @property
    def many_parameters(self) -> Sequence[str]:
        """The functions that take too much."""
        many = (function for function in self.functions if function.parameters > MOST_PARAMETERS)
        return [f"{function} has {function.parameters} parameters" for function in many]

    @property
    def repeated_names(self) -> Sequence[str]:
        """The names that two public classes share."""
        names = Counter(name for module in self.modules for name in module.classes)
        return [
            f"{name} is in {' and '.join(m.path for m in self.modules if name in m.classes)}"
            for name, count in names.items()
            if count > 1 and not name.startswith("_")
        ]

    @property
    def used_once(self) -> Sequence[str]:
        """The private functions that stand in one place only."""
        return [str(function) for function in self.functions if function.is_used_once]

    def flat_modules(self, package: str) -> Sequence[str]:
        """Return the modules that lie directly in a package."""
        return [m.path for m in self.modules if m.is_flat and m.package == package]

    def figures(self) -> Mapping[str, float]:
        """Return the figures by what they say."""
        lengths = sorted(function.lines for function in self.functions)
        lines = sum(module.lines for module in self.modules)
        return {
            "modules": len(self.modules),
            "lines": lines,
            "functions": len(lengths),
            "mean length of a function": mean(lengths),
            "90th percentile of the length": lengths[len(lengths) * 9 // 10],
            f"functions over {LONGEST_FUNCTION} lines": len(self.long_functions),
            f"modules over {LONGEST_MODULE} lines": len(self.long_modules),
            f"flat modules in {CORE}": len(self.flat_modules(CORE)),
            f"flat modules in {ENTRYPOINTS}": len(self.flat_modules(ENTRYPOINTS)),
            "public class names in two places": len(self.repeated_names),
            f"functions of more than {MOST_PARAMETERS} parameters": len(self.many_parameters),
            "private functions used once": len(self.used_once),
            "lines for each of these": lines / max(1, len(self.used_once)),
            "import contracts": self.contracts,
            "rows of layers in them": self.rows,
            "exceptions to them": self.exceptions,
        }


def measure(root: Path = ROOT) -> Structure:
    """Measure the product in a tree."""
    modules = [
        _measure_module(package, root / folder, path)
        for package, folder in PACKAGES.items()
        for path in sorted((root / folder).rglob("*.py"))
    ]
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))
    contracts = project["tool"]["importlinter"]["contracts"]
    return Structure(
        modules,
        contracts=len(contracts),
        rows=sum(len(contract.get("layers", ())) for contract in contracts),
        exceptions=sum(len(contract.get("ignore_imports", ())) for contract in contracts),
    )


def _measure_module(package: str, folder: Path, path: Path) -> Module:
    text = path.read_text("utf-8")
    tree = ast.parse(text)
    place = f"{package}/{path.relative_to(folder)}"
    return Module(
        package=package,
        path=place,
        lines=text.count("\n"),
        is_flat=path.parent == folder and path.name != "__init__.py",
        classes=[node.name for node in tree.body if isinstance(node, ast.ClassDef)],
        functions=list(_functions(tree, place)),
    )


def _functions(tree: ast.Module, place: str) -> Iterator[Function]:
    methods: dict[_Function, ast.ClassDef] = {
        node: owner
        for owner in ast.walk(tree)
        if isinstance(owner, ast.ClassDef)
        for node in owner.body
        if isinstance(node, _Function)
    }
    defined = Counter(method.name for method in methods)
    for node in ast.walk(tree):
        if not isinstance(node, _Function):
            continue
        owner = methods.get(node)
        within = owner if owner and defined[node.name] > 1 else tree
        arguments = node.args
        given = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        name = f"{owner.name}.{node.name}" if owner else node.name
        yield Function(
            place=f"{place}:{node.lineno}",
            name=name,
            lines=(node.end_lineno or node.lineno) - node.lineno + 1,
            parameters=sum(1 for argument in given if argument.arg not in {"self", "cls"}),
            is_used_once=_is_private(node.name) and _uses(within, node) == 1,
        )


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name != "_"


def _uses(tree: ast.AST, function: _Function) -> int:
    """Count where a tree names a function, its own body and other definitions left out."""
    inside = set(map(id, ast.walk(function)))
    return sum(
        1
        for node in ast.walk(tree)
        if id(node) not in inside
        and (
            (isinstance(node, ast.Name) and node.id == function.name)
            or (isinstance(node, ast.Attribute) and node.attr == function.name)
        )
    )


def measure_at(revision: str) -> Structure:
    """Measure the product as a commit has it."""
    archive = subprocess.run(  # noqa: S603 - our own repository
        ["git", "-C", str(ROOT), "archive", revision, *PACKAGES.values(), "pyproject.toml"],  # noqa: S607 - the developer's git
        capture_output=True,
        check=True,
    ).stdout
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(fileobj=io.BytesIO(archive)) as tree:
            tree.extractall(folder, filter="data")
        return measure(Path(folder))


def _shown(figure: float) -> str:
    return f"{figure:,}" if isinstance(figure, int) else f"{figure:,.1f}"


def main(arguments: Sequence[str]) -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(prog="structure", description="Measure the code's structure.")
    parser.add_argument("--at", metavar="REVISION", help="a commit to show beside this tree")
    parser.add_argument("--list", action="store_true", help="name what is over a limit")
    chosen = parser.parse_args(arguments)
    now = measure()
    columns = [("now", now.figures())]
    if chosen.at:
        columns.insert(0, (chosen.at[:12], measure_at(chosen.at).figures()))
    width = max(map(len, now.figures()))
    print(f"{'':{width}}" + "".join(f"  {title:>12}" for title, _ in columns))
    for name in now.figures():
        values = (f"  {_shown(figures[name]):>12}" for _, figures in columns)
        print(f"{name:{width}}" + "".join(values))
    if chosen.list:
        for found in (now.long_functions, now.long_modules, now.repeated_names):
            print("", *found, sep="\n")
        print("", *now.many_parameters, "", *now.used_once, sep="\n")


if __name__ == "__main__":
    main(sys.argv[1:])
