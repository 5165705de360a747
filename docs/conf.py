"""Sphinx: Markdown by MyST, the theme is Furo. `nox -s docs` builds it, and fails on any warning."""

import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "docs" / "_ext")]  # the extensions, and what they know of the tests

project = "Django Durable"
author = "The Django Durable authors"
project_copyright = author
pyproject = tomllib.loads((ROOT / "packages" / "durable-django" / "pyproject.toml").read_text())
release = version = pyproject["project"]["version"]

extensions = ["myst_parser", "promises"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build", "_ext"]
nitpicky = True

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3  # links to headings of another page are checked

html_theme = "furo"
html_title = f"{project} {release}"
