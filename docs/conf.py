"""How Sphinx builds the documentation: ``nox -s docs``."""

import sys
from pathlib import Path
from typing import Any

_CHECKOUT = Path(__file__).parents[1]
sys.path[:0] = [str(_CHECKOUT), str(_CHECKOUT / "adapters")]  # their docstrings are shown

project = "Notification Management"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx_design"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
nitpick_ignore_regex = [("py:.*", ".*")]  # types are named in signatures; most have no page here
exclude_patterns = ["_build", "examples"]
smartquotes = False  # what is quoted is typed
html_theme = "furo"
html_title = project
html_show_copyright = False
html_show_sphinx = False
html_show_sourcelink = False
html_copy_source = False
html_static_path = ["_static"]
html_css_files = ["style.css"]
html_logo = html_favicon = "_static/logo.svg"
_FONTS = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
html_theme_options = {
    "light_css_variables": {
        "font-stack": _FONTS,
        "color-brand-primary": "#1d4ed8",
        "color-brand-content": "#1d4ed8",
    },
    "dark_css_variables": {
        "color-brand-primary": "#93c5fd",
        "color-brand-content": "#93c5fd",
    },
}


def setup(app: Any) -> None:
    """Show no constructor of a protocol: it has none that can be called."""
    app.connect("autodoc-process-signature", _hide_constructor)


def _hide_constructor(
    _app: Any, _kind: str, _name: str, shown: object, *_: Any
) -> tuple[str, str] | None:
    return ("", "") if getattr(shown, "_is_protocol", False) else None
