"""Copy Swagger UI out of the wheel that carries it to where the reference page finds it.

Run by ``nox -s generate``, which installs that wheel, pinned by its hash, and nothing with it.
"""

import shutil
from importlib.util import find_spec
from pathlib import Path

TARGET = Path(__file__).parents[1] / "entrypoints/notification_entrypoints/api/openapi/swagger_ui"
FILES = (
    "LICENSE",
    "favicon-32x32.png",
    "swagger-ui-bundle.js",
    "swagger-ui-bundle.js.LICENSE.txt",
    "swagger-ui.css",
)


def main() -> None:
    """Copy the files, in place of what was there."""
    # The package itself cannot be imported: it wants Django.
    spec = find_spec("drf_spectacular_sidecar")
    if spec is None or spec.origin is None:
        raise SystemExit("Run `nox -s generate`: it installs what this script copies from.")
    source = Path(spec.origin).parent / "static/drf_spectacular_sidecar/swagger-ui-dist"
    shutil.rmtree(TARGET, ignore_errors=True)
    TARGET.mkdir()
    for name in FILES:
        shutil.copyfile(source / name, TARGET / name)


if __name__ == "__main__":
    main()
