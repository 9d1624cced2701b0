"""Bring the libraries of the console's pages into the package: `python scripts/vendor.py`.

Hospitals have no content delivery network, so what pages load lies in the package. This copies it
from npm, as scripts/vendor/package-lock.json fixes it, makes one file of those parts of ECharts
that pages draw with (scripts/vendor/echarts.js) and one of the icons that they use, and writes a
manifest of hashes that a test checks. Needs npm.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NAMES = ROOT / "scripts" / "vendor"
WEB = ROOT / "src" / "medfed" / "web"
PLACE = WEB / "static" / "vendor"
FONT_AWESOME = "@fortawesome/fontawesome-free"
NIIVUE = "@niivue/niivue"
ECHARTS = "echarts.esm.min.js"
COPIES = {
    "chart.umd.min.js": "chart.js/dist/chart.umd.min.js",
    "chart.LICENSE.md": "chart.js/LICENSE.md",
    "socket.io.esm.min.js": "socket.io-client/dist/socket.io.esm.min.js",
    "socket.io.LICENSE": "socket.io-client/LICENSE",
    "tus.min.js": "tus-js-client/dist/tus.min.js",
    "tus.LICENSE": "tus-js-client/LICENSE",
    "fontawesome.LICENSE.txt": f"{FONT_AWESOME}/LICENSE.txt",
    "niivue.umd.js": f"{NIIVUE}/dist/niivue.umd.js",
}
WITHIN_NIIVUE = (
    "@lukeed/uuid", "@ungap/structured-clone", "@zarrita/storage", "array-equal", "fflate",
    "gl-matrix", "nifti-reader-js", "numcodecs", "unzipit", "zarrita",
)  # fmt: skip
"""What its one file was made of."""
WITHIN_ECHARTS = {
    "echarts": ("LICENSE", "NOTICE", "licenses/LICENSE-d3"),
    "zrender": ("LICENSE",),
    "tslib": ("LICENSE.txt",),
}
"""What its one file is made of, and the texts that go with it."""
MADE = ("echarts.LICENSE.txt", ECHARTS, "icons.svg", "niivue.LICENSE.txt")
NAMED = (
    "chart.js",
    "echarts",
    "zrender",
    "socket.io-client",
    "tus-js-client",
    FONT_AWESOME,
    NIIVUE,
)
USED = re.compile(r"""icon\(["']([a-z0-9-]+)["']""")
MAP = re.compile(rb"^//# sourceMappingURL=.*$", re.MULTILINE)


def main() -> int:
    """Copy, draw, write the manifest."""
    if shutil.which("npm") is None:
        print("npm is missing; install it, or leave the libraries as they are", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder:
        modules = install(Path(folder))
        PLACE.mkdir(parents=True, exist_ok=True)
        for name, source in COPIES.items():
            # Maps to sources that are not here only make browsers complain.
            (PLACE / name).write_bytes(MAP.sub(b"", (modules / source).read_bytes()))
        (PLACE / "niivue.LICENSE.txt").write_text(niivue_licences(modules), "utf-8")
        (PLACE / ECHARTS).write_bytes(bundle(modules))
        (PLACE / "echarts.LICENSE.txt").write_text(echarts_licences(modules), "utf-8")
        (PLACE / "icons.svg").write_text(sprite(modules / FONT_AWESOME / "svgs"), "utf-8")
        versions = {name: version_of(modules / name) for name in NAMED}
    hashes = {name: digest(PLACE / name) for name in sorted([*COPIES, *MADE])}
    manifest = {"versions": versions, "sha256": hashes}
    (PLACE / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n", "utf-8")
    print(f"{len(hashes)} files, {len(icons())} icons")
    return 0


def install(folder: Path) -> Path:
    """What the lock file fixes, from npm; without any of the packages' own scripts."""
    for name in ("package.json", "package-lock.json", ".npmrc"):
        shutil.copy(NAMES / name, folder)
    subprocess.run(["npm", "ci", "--ignore-scripts"], cwd=folder, check=True)
    return folder / "node_modules"


def version_of(package: Path) -> str:
    """The version that a package says it has."""
    return str(json.loads((package / "package.json").read_text("utf-8"))["version"])


def bundle(modules: Path) -> bytes:
    """The parts of ECharts that pages draw with, as one module; the same bytes each time."""
    entry = shutil.copy(NAMES / "echarts.js", modules.parent)
    options = ["--bundle", "--minify", "--format=esm", "--target=es2022", "--charset=utf8"]
    command = [modules / ".bin" / "esbuild", entry, *options, "--legal-comments=none"]
    made = subprocess.run(command, cwd=modules.parent, check=True, capture_output=True)
    return made.stdout


def echarts_licences(modules: Path) -> str:
    """Its own licence and notice, and those of what it is made of."""
    parts = []
    for name, files in WITHIN_ECHARTS.items():
        texts = [(modules / name / file).read_text("utf-8").strip() for file in files]
        parts += [f"{name} {version_of(modules / name)}\n\n{text}\n" for text in texts]
    return f"\n{'-' * 80}\n\n".join(parts)


def niivue_licences(modules: Path) -> str:
    """Its own licence, which its package leaves out, and those of what it was made of."""
    parts = [(NAMES / "niivue.LICENSE.txt").read_text("utf-8")]
    for name in WITHIN_NIIVUE:
        about = json.loads((modules / name / "package.json").read_text("utf-8"))
        files = [f for f in sorted((modules / name).iterdir()) if "licen" in f.name.lower()]
        text = files[0].read_text("utf-8") if files else f"{about['license']} licence"
        parts.append(f"{name} {about['version']}\n\n{text.strip()}\n")
    return f"\n{'-' * 80}\n\n".join(parts)


def icons() -> list[str]:
    """Names of the icons in templates, in the navigation and in scripts."""
    files = [*WEB.rglob("*.html"), *WEB.rglob("*.py"), *(WEB / "static").glob("*.js")]
    return sorted({name for file in files for name in USED.findall(file.read_text("utf-8"))})


def sprite(svgs: Path) -> str:
    """One file with a symbol for each icon."""
    symbols, head = [], ""
    for name in icons():
        drawing = (svgs / "solid" / f"{name}.svg").read_text("utf-8")
        box = re.search(r'viewBox="([^"]+)"', drawing)
        path = re.search(r"<path .*?/>", drawing)
        space = re.search(r'xmlns="[^"]+"', drawing)
        if box is None or path is None or space is None:
            raise ValueError(f"the icon {name} cannot be read")
        head = f"<svg {space[0]}>"
        symbols.append(f'<symbol id="{name}" viewBox="{box[1]}">{path[0]}</symbol>')
    about = "<!-- Font Awesome Free, CC BY 4.0; see fontawesome.LICENSE.txt -->"
    inner = "\n".join(symbols)
    return f"{head}\n{about}\n{inner}\n</svg>\n"


def digest(file: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
