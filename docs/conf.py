"""How Sphinx builds the docs: Markdown pages, one theme, every warning an error."""

from __future__ import annotations

import tomllib
from pathlib import Path

_project = tomllib.loads(
    (Path(__file__).resolve().parent.parent / "pyproject.toml").read_text("utf-8")
)["project"]

project = _project["name"]
version = release = _project["version"]
author = "medfed contributors"
copyright = "2026, medfed contributors"

extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build", "decisions/template.md"]
nitpicky = True  # a reference that leads nowhere is a warning, and so an error

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath", "fieldlist"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = f"medfed {version}"
html_show_sourcelink = False
html_copy_source = False
