"""Processes of our own run our own code only."""

import ast
import subprocess
from pathlib import Path

import pytest

import medfed
from medfed.core.own_process import own_process

PACKAGE = Path(medfed.__file__).parent


@pytest.mark.parametrize("module", ["medfed", "medfed.federation.guarded"])
def test_what_lies_in_the_folder_is_not_run(module, tmp_path):
    for name in ("numpy", "click", "typer", "signal", "argparse", "subprocess"):
        planted = "import pathlib; pathlib.Path('ran').touch()"
        (tmp_path / f"{name}.py").write_text(planted)
    subprocess.run([*own_process(module), "--help"], cwd=tmp_path, capture_output=True, check=False)
    assert not (tmp_path / "ran").exists()


def test_every_process_of_ours_is_started_so():
    for file in PACKAGE.rglob("*.py"):
        if file.name == "own_process.py":
            continue
        tree = ast.parse(file.read_text("utf-8"))
        found = [node for node in ast.walk(tree) if isinstance(node, (ast.List, ast.Tuple))]
        for node in found:
            words = {each.value for each in node.elts if isinstance(each, ast.Constant)}
            python = "sys.executable" in ast.unparse(node)
            assert not (python and "-m" in words), f"{file}:{node.lineno}"
