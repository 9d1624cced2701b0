"""How Sphinx builds the docs: Markdown pages, one theme, every warning an error."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

_here = Path(__file__).resolve().parent
sys.path.insert(0, str(_here / "_ext"))
_project = tomllib.loads((_here.parent / "pyproject.toml").read_text("utf-8"))["project"]

project = _project["name"]
version = release = _project["version"]
author = "medfed contributors"
copyright = "2026, medfed contributors"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "from_the_code"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build", "decisions/template.md"]
nitpicky = True  # a reference that leads nowhere is a warning, and so an error
# Types in signatures come from NumPy, torch and modules that the reference does not list.
nitpick_ignore_regex = [("py:.*", ".*")]

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
napoleon_use_ivar = True
python_use_unqualified_type_names = True

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath", "fieldlist"]
myst_heading_anchors = 3

smartquotes = False  # examples hold quotes that must stay straight

html_theme = "furo"
html_title = f"medfed {version}"
html_static_path = ["_static"]
html_css_files = ["medfed.css"]
html_show_sourcelink = False
html_copy_source = False
