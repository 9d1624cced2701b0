"""The libraries of the pages are those that the manifest names; nothing comes from elsewhere."""

from __future__ import annotations

import json
import re

import vendor

LOCK = json.loads((vendor.NAMES / "package-lock.json").read_text("utf-8"))["packages"]
MANIFEST = json.loads((vendor.PLACE / "manifest.json").read_text("utf-8"))


def test_every_file_is_the_one_in_the_manifest():
    there = {file.name for file in vendor.PLACE.iterdir()} - {"manifest.json"}
    assert there == set(MANIFEST["sha256"])
    for name, digest in MANIFEST["sha256"].items():
        assert vendor.digest(vendor.PLACE / name) == digest, name


def test_the_versions_are_those_that_are_locked():
    for name, version in MANIFEST["versions"].items():
        assert LOCK[f"node_modules/{name}"]["version"] == version


def test_every_licence_is_there():
    for name, words in [
        ("chart.LICENSE.md", "MIT"),
        ("socket.io.LICENSE", "MIT"),
        ("tus.LICENSE", "MIT"),
        ("fontawesome.LICENSE.txt", "CC BY 4.0"),
        ("niivue.LICENSE.txt", "BSD 2-Clause"),
        ("niivue.LICENSE.txt", "nifti-reader-js"),
        ("echarts.LICENSE.txt", "Apache License"),
        ("echarts.LICENSE.txt", "This product includes software developed at"),
        ("echarts.LICENSE.txt", "BSD 3-Clause License"),
        ("echarts.LICENSE.txt", "Copyright 2010-2016 Mike Bostock"),
    ]:
        assert words in (vendor.PLACE / name).read_text("utf-8")


def test_the_sprite_holds_each_icon_that_is_used():
    drawn = re.findall(r'<symbol id="([^"]+)"', (vendor.PLACE / "icons.svg").read_text("utf-8"))
    assert drawn == vendor.icons(), "run python scripts/vendor.py"


def test_pages_load_nothing_from_elsewhere():
    own = [*vendor.WEB.rglob("*.html"), *(vendor.WEB / "static").glob("*.*")]
    for file in own:
        text = file.read_text("utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"(https?:)?//[a-z]+\.[a-z]", text), file
