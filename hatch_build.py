"""Build hook: puts Swagger UI, which is not in the repository, beside the API's reference page.

It comes out of a wheel that carries it, a requirement of the build. A wheel of ours contains the
files; an editable installation finds them in the checkout, where git ignores them.
"""

import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_PACKAGE = Path("notification_entrypoints/api/openapi/swagger_ui")
_FILES = (
    "LICENSE",
    "favicon-32x32.png",
    "swagger-ui-bundle.js",
    "swagger-ui-bundle.js.LICENSE.txt",
    "swagger-ui.css",
)


class SwaggerUi(BuildHookInterface[Any]):
    """Adds the files of Swagger UI to what is built."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add them to a wheel, or copy them into the checkout for an ``editable`` one."""
        # The package itself cannot be imported: it wants Django.
        spec = find_spec("drf_spectacular_sidecar")
        if spec is None or spec.origin is None:
            raise ModuleNotFoundError("The build needs what pyproject.toml names as its requires.")
        source = Path(spec.origin).parent / "static/drf_spectacular_sidecar/swagger-ui-dist"
        target = Path(self.root) / "entrypoints" / _PACKAGE
        if version == "editable":
            target.mkdir(exist_ok=True)
        for name in _FILES:
            if version == "editable":
                shutil.copyfile(source / name, target / name)
            else:
                build_data["force_include"][str(source / name)] = str(_PACKAGE / name)
