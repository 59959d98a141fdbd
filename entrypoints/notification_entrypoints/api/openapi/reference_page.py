"""The reference page: the OpenAPI document as a page for people, which needs no other server.

The files of Swagger UI are not in the repository: the build brings them (``hatch_build.py``).
Without them the page says so.
"""

from collections.abc import Awaitable, Callable, Mapping
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType

from aiohttp import hdrs, web

_PACKAGE = Path(str(files("notification_entrypoints.api.openapi")))
_OURS = _PACKAGE / "page"
_SWAGGER_UI = _PACKAGE / "swagger_ui"

_PAGE = _OURS / "docs.html"
_PARTS: Mapping[str, Path] = MappingProxyType(
    {
        "docs.css": _OURS / "docs.css",
        "docs.js": _OURS / "docs.js",
        "favicon-32x32.png": _SWAGGER_UI / "favicon-32x32.png",
        "swagger-ui-bundle.js": _SWAGGER_UI / "swagger-ui-bundle.js",
        "swagger-ui.css": _SWAGGER_UI / "swagger-ui.css",
    }
)
_MISSING = (
    "The files of the reference page are missing. Install the package (`pip install .`), which "
    "brings them, and start the server again. The document itself is at openapi.json.\n"
)
_HEADERS = {
    hdrs.CACHE_CONTROL: "no-cache",
    # Swagger UI has its icons as data: in its style sheet. Nothing is inline, nothing elsewhere.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def add_reference_page(app: web.Application, prefix: str) -> None:
    """Serve the page at ``{prefix}/docs``, and the files that it is made of below it."""
    app.router.add_get(f"{prefix}/docs", _page)
    for name, path in _PARTS.items():
        app.router.add_get(f"{prefix}/docs/{name}", _part(path))


async def _page(_: web.Request) -> web.StreamResponse:
    if not all(path.is_file() for path in _PARTS.values()):
        return web.Response(status=404, text=_MISSING, headers=_HEADERS)
    return web.FileResponse(_PAGE, headers=_HEADERS)


def _part(path: Path) -> _Handler:
    async def part(_: web.Request) -> web.StreamResponse:
        return web.FileResponse(path, headers=_HEADERS)

    return part
