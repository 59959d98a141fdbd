"""Build hook: puts what browsers need and is not in the repository beside the pages that use it.

Swagger UI is for the API's reference page, htmx for the console. They come out of wheels that carry
them, requirements of the build. A wheel of ours contains the files; an editable installation finds
them in the checkout, where git ignores them.
"""

import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_FILES = {
    "drf_spectacular_sidecar": (
        "static/drf_spectacular_sidecar/swagger-ui-dist",
        "notification_entrypoints/api/openapi/swagger_ui",
        {
            "LICENSE": "LICENSE",
            "favicon-32x32.png": "favicon-32x32.png",
            "swagger-ui-bundle.js": "swagger-ui-bundle.js",
            "swagger-ui-bundle.js.LICENSE.txt": "swagger-ui-bundle.js.LICENSE.txt",
            "swagger-ui.css": "swagger-ui.css",
        },
    ),
    "django_htmx": (
        "static/django_htmx",
        "notification_entrypoints/console/htmx",
        {"htmx-2.min.js": "htmx.min.js"},
    ),
}
"""By the package that carries them: the folder in it, the one of ours, and the files' names."""


class BrowserFiles(BuildHookInterface[Any]):
    """Adds the files to what is built."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add them to a wheel, or copy them into the checkout for an ``editable`` one."""
        for package, (folder, ours, names) in _FILES.items():
            # The packages themselves cannot be imported: they want Django.
            spec = find_spec(package)
            if spec is None or spec.origin is None:
                raise ModuleNotFoundError(
                    "The build needs what pyproject.toml names as its requires."
                )
            source = Path(spec.origin).parent / folder
            target = Path(self.root) / "entrypoints" / ours
            if version == "editable":
                target.mkdir(exist_ok=True)
            for name, our_name in names.items():
                if version == "editable":
                    shutil.copyfile(source / name, target / our_name)
                else:
                    build_data["force_include"][str(source / name)] = f"{ours}/{our_name}"
