"""The picture of the packages: an arrow for each import, unless other arrows lead there as well.

Where a package stands in the picture is said here, what it imports the code says. A package that is
missing here fails ``nox -s generate``.
"""

import ast
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

CHECKOUT = Path(__file__).parents[1]
FOLDERS: Mapping[str, str] = {
    "notification_entrypoints": "entrypoints/notification_entrypoints",
    "notification_adapters": "adapters/notification_adapters",
    "notification_core": "notification_core",
}
ROLES: Mapping[str, str] = {
    "notification_entrypoints": "processes, API, command line, settings, wiring",
    "notification_adapters": "one package or module for each technology",
    "notification_core": "rules, ports, use cases: no I/O",
}
# The rows of each package from above, with the middle of each box. Arrows point downwards.
ROWS: Mapping[str, Sequence[Mapping[str, int]]] = {
    "notification_entrypoints": [
        {"cli": 330, "embedded": 700},
        {"commands": 330},
        {"process": 330},
        {"console": 480},
        {"ops": 190, "api": 480},
        {"bootstrap": 480},
        {"config": 190, "observability": 480, "serving": 700},
    ],
    "notification_adapters": [
        {"testing": 256},
        {"memory": 62, "signers": 162, "project_management": 308, "http": 450}
        | {"sql": 550, "kafka": 650, "jwt": 760, "otel": 830, "vault": 900},
        {"statistics_fields": 130, "converters": 745},
        {"dead_letter_fields": 102, "null_objects": 257, "clock": 352}
        | {"postgres_uri": 455, "event_formats": 592}
        | {"delivery_fields": 735, "bounded_body": 880},
    ],
    "notification_core": [
        {"webhooks": 480},
        {"dispatch": 480},
        {"ingest": 190, "replays": 375, "maintenance": 530, "signing": 800},
        {"access": 70, "encryption": 670, "environments": 810},
        {"concurrency": 190},
        {"ports": 480},
        {"model": 480},
    ],
}
EVERYBODYS = ("errors", "version")
"""Modules of the core that every package may import: their arrows are left out."""

_WIDTH, _ROW, _HEIGHT = 960, 66, 32
_TOP, _BETWEEN = 44, 40

_STYLE = """\
  <style>
    .frame { fill: none; stroke: #7d8590; stroke-width: 1.2; stroke-dasharray: 5 5 }
    .box { fill: #eef4fb; stroke: #3b6ea5; stroke-width: 1.5 }
    .name { font-size: 13.5px; font-weight: 600; fill: #16202c; text-anchor: middle }
    .title { font-size: 15px; font-weight: 600; fill: #59636e }
    .role { font-size: 13px; font-weight: 400 }
    .arrow { fill: none; stroke: #7d8590; stroke-width: 1.6; marker-end: url(#tip) }
    @media (prefers-color-scheme: dark) {
      .box { fill: #16283c; stroke: #6ea8e0 }
      .name { fill: #f0f4f8 }
      .title { fill: #a9b4bf }
    }
  </style>
  <defs>
    <marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto-start-reverse"><path d="M0 0L10 5L0 10z" fill="#7d8590"/></marker>
  </defs>
"""  # noqa: E501 - as the other pictures are written

_Arrow = tuple[str, str]


def architecture_picture() -> str:
    """Return the picture as SVG."""
    drawn: list[str] = []
    top = 8
    for package in FOLDERS:
        height = _TOP + _ROW * len(ROWS[package]) - 18
        if top > _BETWEEN:
            drawn.append(_line("arrow", (480, top - _BETWEEN), (480, top - 1)))
        drawn += _frame(package, top, height)
        top += height + _BETWEEN
    height = top - _BETWEEN + 8
    title = "The packages and their imports"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img" '
        'aria-labelledby="title" font-family="system-ui, -apple-system, \'Segoe UI\', '
        'Helvetica, Arial, sans-serif">\n'
        f'  <title id="title">{title}</title>\n{_STYLE}' + "\n".join(drawn) + "\n</svg>\n"
    )


def _frame(package: str, top: int, height: int) -> Iterator[str]:
    """Yield a package's frame with what is in it."""
    rows = ROWS[package]
    places = {
        name: (middle, top + _TOP + number * _ROW)
        for number, row in enumerate(rows)
        for name, middle in row.items()
    }
    imports = _imports(package)
    if missing := sorted({name for arrow in imports for name in arrow} - places.keys()):
        raise SystemExit(f"Say in docs/architecture_picture.py where {missing} stand.")
    yield f'  <rect class="frame" x="8" y="{top}" width="{_WIDTH - 16}" height="{height}" rx="12"/>'
    yield (
        f'  <text class="title" x="24" y="{top + 24}">{package}'
        f'<tspan class="role" dx="12">{escape(ROLES[package])}</tspan></text>'
    )
    for importer, imported in sorted(_without_detours(imports)):
        (x1, y1), (x2, y2) = places[importer], places[imported]
        yield _line("arrow", (x1, y1 + _HEIGHT), (x2, y2 - 1), f"{importer} imports {imported}")
    for name, (middle, y) in places.items():
        width = 28 + 8 * len(name)
        yield (
            f'  <rect class="box" x="{middle - width // 2}" y="{y}" width="{width}" '
            f'height="{_HEIGHT}" rx="6"/>'
        )
        yield f'  <text class="name" x="{middle}" y="{y + 21}">{name}</text>'


def _line(kind: str, start: tuple[int, int], end: tuple[int, int], meaning: str = "") -> str:
    told = f"<title>{meaning}</title>" if meaning else ""
    return f'  <path class="{kind}" d="M{start[0]} {start[1]}L{end[0]} {end[1]}">{told}</path>'


def _imports(package: str) -> set[_Arrow]:
    """Return which parts of a package import which others of it."""
    folder = CHECKOUT / FOLDERS[package]
    arrows = set()
    for path in folder.rglob("*.py"):
        part = path.relative_to(folder).parts[0].removesuffix(".py")
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [f"{node.module}.{alias.name}" for alias in node.names]
                inside = [name.split(".")[1] for name in names if name.startswith(f"{package}.")]
                arrows |= {(part, other) for other in inside if other != part}
    return {
        (part, other)
        for part, other in arrows
        if part != "__init__" and part not in EVERYBODYS and other not in EVERYBODYS
    }


def _without_detours(arrows: set[_Arrow]) -> set[_Arrow]:
    """Leave out each arrow whose end other arrows lead to as well."""

    def reaches(start: str, end: str, without: _Arrow) -> bool:
        following = [b for a, b in arrows if a == start and (a, b) != without]
        return end in following or any(reaches(other, end, without) for other in following)

    return {(a, b) for a, b in arrows if not reaches(a, b, (a, b))}
