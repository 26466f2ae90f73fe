"""The site: `make docs` writes it to docs/site. Warnings are errors."""

import re

project = "gridrun"
author = "the authors of gridrun"
extensions = ["myst_parser"]
html_theme = "furo"
html_title = "gridrun"
exclude_patterns = ["site"]
# A heading's name is an anchor, as on the pages of the repository.
myst_heading_anchors = 3
smartquotes = False  # two hyphens are an option
html_show_sphinx = False
html_show_copyright = False
html_copy_source = False


def leave_folder(_app, _name, source):
    """A link to what is no page of the site, as examples and benchmarks are, becomes its place in words."""
    source[0] = re.sub(r"\[([^\]]+)\]\(\.\./([^)]+)\)", r"\1 (`\2` in the repository)", source[0])


def setup(app):
    """Called by Sphinx."""
    app.connect("source-read", leave_folder)
