"""Build hook: adds what is not in the repository, for browsers, and the commit that is built.

Swagger UI is for the API's reference page, htmx for the console. They come out of wheels that carry
them, requirements of the build. A wheel of ours contains the files; an editable installation finds
them in the checkout, where git ignores them.

The commit is that of the checkout, or what the variable SOURCE_COMMIT says if there is none. A
source distribution has it in a file, and hands it on to wheels that are built from it. An editable
installation has none: its checkout moves on.
"""

import os
import shutil
import subprocess
import tempfile
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


_COMMIT = Path("entrypoints/notification_entrypoints/commit.txt")


class BuiltFiles(BuildHookInterface[Any]):
    """Adds the files to what is built."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add them to a wheel, or copy them into the checkout for an ``editable`` one."""
        is_wheel = self.target_name == "wheel"
        if version != "editable":
            inside = _COMMIT.relative_to("entrypoints") if is_wheel else _COMMIT
            build_data["force_include"][str(self._commit_file())] = str(inside)
        if is_wheel:
            self._add_browser_files(version, build_data)

    @property
    def _root(self) -> Path:
        return Path(self.root)

    def _commit_file(self) -> Path:
        from_source_distribution = self._root / _COMMIT
        if from_source_distribution.exists():
            return from_source_distribution
        commit = os.environ.get("SOURCE_COMMIT", "")  # noqa: TID251 - a build has no Settings
        if not commit and (self._root / ".git").exists():
            command = ("git", "rev-parse", "HEAD")
            done = subprocess.run(command, cwd=self.root, capture_output=True, text=True)  # noqa: PLW1510, S603 - ours; without git there is none
            commit = done.stdout.strip()
        file = Path(tempfile.mkdtemp()) / _COMMIT.name
        file.write_text(commit)
        return file

    def _add_browser_files(self, version: str, build_data: dict[str, Any]) -> None:
        for package, (folder, ours, names) in _FILES.items():
            # The packages themselves cannot be imported: they want Django.
            spec = find_spec(package)
            if spec is None or spec.origin is None:
                raise ModuleNotFoundError(
                    "The build needs what pyproject.toml names as its requires."
                )
            source = Path(spec.origin).parent / folder
            target = self._root / "entrypoints" / ours
            if version == "editable":
                target.mkdir(exist_ok=True)
            for name, our_name in names.items():
                if version == "editable":
                    shutil.copyfile(source / name, target / our_name)
                else:
                    build_data["force_include"][str(source / name)] = f"{ours}/{our_name}"
