"""Style sheet, scripts and pictures, under names that say what is in them: cached for ever.

htmx is not in the repository: the build brings it (``hatch_build.py``). Without it, pages work as
they do without JavaScript.
"""

import hashlib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType

from aiohttp import hdrs, web
from attrs import field, frozen

_PACKAGE = Path(str(files("notification_entrypoints.console")))
_FOLDERS = (_PACKAGE / "static", _PACKAGE / "htmx")
_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_FOREVER = "public, max-age=31536000, immutable"
_HASH_LENGTH = 12

routes = web.RouteTableDef()


@frozen
class StaticFile:
    """A file with its content type; ``name`` is the one that it is served under."""

    name: str
    content: bytes = field(repr=False)
    content_type: str


@cache
def static_files() -> Mapping[str, StaticFile]:
    """Return the files that there are, by their names in the package."""
    found = {}
    for folder in _FOLDERS:
        for path in sorted(folder.glob("*")) if folder.is_dir() else ():
            if content_type := _TYPES.get(path.suffix):
                content = path.read_bytes()
                digest = hashlib.sha256(content).hexdigest()[:_HASH_LENGTH]
                name = f"{path.stem}.{digest}{path.suffix}"
                found[path.name] = StaticFile(name, content, content_type)
    return MappingProxyType(found)


@routes.get("/static/{name}", name="static")
async def serve(request: web.Request) -> web.StreamResponse:
    """Serve a file; one that has changed since has another name."""
    name = request.match_info["name"]
    served = next((file for file in static_files().values() if file.name == name), None)
    if served is None:
        raise web.HTTPNotFound
    return web.Response(
        body=served.content,
        content_type=served.content_type,
        charset="utf-8",
        headers={hdrs.CACHE_CONTROL: _FOREVER},
    )
