"""How Sphinx builds the documentation: ``nox -s docs``."""

project = "Notification Management"
extensions = ["myst_parser"]
myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3
exclude_patterns = ["_build", "examples"]
smartquotes = False  # what is quoted is typed
html_theme = "furo"
html_title = project
html_show_copyright = False
