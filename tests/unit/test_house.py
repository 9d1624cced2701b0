"""The house: lock file, set-up, Debian packages, benchmark tables."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import bench
import pytest
import set_up
import system_packages

import medfed

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
LOCK = (ROOT / "requirements.lock").read_text("utf-8")

pytest_plugins = ["pytester"]


# --- the package ----------------------------------------------------------------------------------


def test_the_version_is_the_same_everywhere():
    assert medfed.__version__ == PROJECT["version"] == version("medfed")
    assert f"## {medfed.__version__}" in (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_the_readme_is_the_package_description():
    assert (ROOT / "README.md").exists() == (PROJECT.get("readme") == "README.md")


def test_importing_medfed_loads_nothing_heavy():
    question = "import medfed, sys; print(*sys.modules)"
    modules = subprocess.check_output([sys.executable, "-c", question], text=True).split()
    assert not {"numpy", "torch", "pandas", "monai", "flwr"} & set(modules)


# --- the lock file --------------------------------------------------------------------------------


def test_the_lock_file_suits_every_machine():
    lines = [line for line in LOCK.splitlines() if not line.startswith("#")]
    assert "torch==2.13.0" in lines
    assert "flwr==1.41.0" in lines
    for line in lines:
        assert re.fullmatch(r"[a-z0-9-]+==\S+( ; .+)?", line), line
        assert not line.startswith(("nvidia", "triton")), line


def test_every_dependency_is_locked():
    extras = PROJECT["optional-dependencies"]
    wanted = PROJECT["dependencies"] + [name for extra in extras.values() for name in extra]
    names = {re.match(r"[\w-]+", requirement)[0] for requirement in wanted}
    assert not {name for name in names if f"\n{name}==" not in LOCK}


# --- set-up ---------------------------------------------------------------------------------------


@pytest.fixture
def own_venv(tmp_path, monkeypatch):
    """The set-up script's idea of .venv, moved into a temporary folder."""
    python = tmp_path / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    monkeypatch.setattr(set_up, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(set_up, "STAMP", tmp_path / ".venv/stamp.json")
    return tmp_path / ".venv"


def stamp(profile: str, key: str) -> None:
    """Pretend that an earlier set-up ended well."""
    set_up.STAMP.write_text(json.dumps({"profile": profile, "key": key}))


def test_set_up_does_nothing_twice(own_venv, monkeypatch, capfd):
    monkeypatch.delenv("TORCH", raising=False)
    stamp("dev", set_up.key("cpu"))
    set_up.set_up("dev")
    set_up.set_up("base")
    assert capfd.readouterr() == ("", "")


def test_set_up_runs_again_when_something_changed(own_venv):
    assert not set_up.up_to_date("base", "cpu")
    stamp("base", set_up.key("cpu"))
    assert set_up.up_to_date("base", "cpu")
    assert not set_up.up_to_date("dev", "cpu")
    assert not set_up.up_to_date("base", "cuda")
    set_up.STAMP.write_text("half a stam")
    assert not set_up.up_to_date("base", "cpu")


def test_set_up_compiles_what_it_can_and_minds_nothing_else(tmp_path, monkeypatch):
    monkeypatch.setattr(set_up, "VENV", tmp_path)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path], check=True)
    packages = next(tmp_path.glob("lib/*/site-packages"))
    (packages / "good.py").write_text("ANSWER = 42\n")
    (packages / "template.py").write_text("{{ name }} = \n")
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    set_up.compile_packages()
    assert [file.name.split(".")[0] for file in packages.rglob("*.pyc")] == ["good"]


def test_set_up_names_the_remedy_where_python_is_too_old(tmp_path, monkeypatch):
    old = tmp_path / "python3"
    old.write_text("#!/bin/sh\necho 3 9\n")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("PYTHON", raising=False)
    with pytest.raises(set_up.SetupError, match=r"(?s)3\.11 or newer.*is 3\.9.*apt install"):
        set_up.find_python()


def test_set_up_prefers_a_tested_python(tmp_path, monkeypatch):
    for name, number in (("python3", 99), ("python3.12", 12)):
        (tmp_path / name).write_text(f"#!/bin/sh\necho 3 {number}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("PYTHON", raising=False)
    assert set_up.find_python() == str(tmp_path / "python3.12")
    (tmp_path / "python3.12").unlink()
    assert set_up.find_python() == str(tmp_path / "python3")


def test_torch_is_looked_for_in_the_wheel_folder_first(monkeypatch):
    monkeypatch.delenv("UV_FIND_LINKS", raising=False)
    monkeypatch.setenv("PIP_FIND_LINKS", "/one /two")
    env = set_up.uv_environment()
    assert env["UV_FIND_LINKS"] == "/one,/two"
    sources = [arguments for _, arguments in set_up.torch_attempts("cpu", "2.13.0", env)]
    assert ["--no-index" in s for s in sources] == [True, False, False]
    assert ["--torch-backend" in s for s in sources] == [False, True, False]
    assert len(set_up.torch_attempts("cpu", "2.13.0", {})) == 2
    assert "auto" in set_up.torch_attempts("cuda", "2.13.0", env)[0][1]


def test_a_failing_step_says_what_failed_and_what_to_do(capfd):
    with pytest.raises(set_up.SetupError, match=r"(?s)Cooking failed.*false.*Order pizza"):
        set_up.run("Cooking", ["false"], "Order pizza.", tries=2)
    assert "once more" in capfd.readouterr().out


def test_set_up_refuses_an_unknown_torch(own_venv, monkeypatch, capsys):
    monkeypatch.setenv("TORCH", "rocket")
    monkeypatch.setattr(sys, "argv", ["set_up.py"])
    assert set_up.main() == 1
    assert "cpu or cuda" in capsys.readouterr().err


# --- Debian packages ------------------------------------------------------------------------------


def test_every_listed_package_has_a_reason(tmp_path):
    system_packages.read_list()
    listing = tmp_path / "list.txt"
    listing.write_text("# heading\n\nalpha  # to test images\nbeta # a server\n")
    assert system_packages.read_list(listing) == {"alpha": "to test images", "beta": "a server"}
    listing.write_text("alpha\n")
    with pytest.raises(ValueError, match="line 1: alpha has no reason"):
        system_packages.read_list(listing)


def test_services_stay_off_only_meanwhile(tmp_path):
    policy = tmp_path / "policy-rc.d"

    def interrupted_installation():
        with system_packages.services_stay_off(policy):
            assert subprocess.call([policy]) == 101
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted_installation()
    assert not policy.exists()
    policy.write_text("the machine's own")
    with system_packages.services_stay_off(policy):
        assert policy.read_text() == "the machine's own"
    assert policy.read_text() == "the machine's own"


@pytest.fixture
def made_up_package(tmp_path, monkeypatch):
    """A list with one package that no system has."""
    listing = tmp_path / "system-packages.txt"
    listing.write_text("medfed-made-up  # to test the list itself\n")
    monkeypatch.setattr(system_packages, "LIST", listing)
    monkeypatch.setattr(system_packages.read_list, "__defaults__", (listing,))
    return "medfed-made-up"


def check(monkeypatch, ci: str | None) -> tuple[int, list]:
    """Run `--check`; its status and what it would have installed."""
    asked: list = []
    monkeypatch.setattr(system_packages, "install", lambda packages: asked.extend(packages) or 0)
    monkeypatch.setattr(sys, "argv", ["system_packages.py", "--check"])
    monkeypatch.setattr(system_packages.signal, "signal", lambda *_: None)
    monkeypatch.setenv("CI", ci) if ci else monkeypatch.delenv("CI", raising=False)
    return system_packages.main(), asked


def test_missing_packages_are_named_with_the_one_command(made_up_package, monkeypatch, capsys):
    assert check(monkeypatch, ci=None) == (0, [])
    printed = capsys.readouterr().out
    assert made_up_package in printed
    assert "make system-packages" in printed


def test_missing_packages_are_installed_under_ci(made_up_package, monkeypatch):
    assert check(monkeypatch, ci="true") == (0, [made_up_package])


@pytest.mark.parametrize(
    ("ci", "name", "outcome"),
    [
        ("", "medfed-made-up", {"skipped": 1}),
        ("true", "medfed-made-up", {"errors": 1}),
        pytest.param("", "not-in-the-list", {"errors": 1}, marks=pytest.mark.slow),
    ],
)
def test_a_test_that_needs_a_package(ci, name, outcome, pytester, monkeypatch):
    """Skipped on a desk, failed under CI; a package that nobody listed is a mistake."""
    (pytester.path / "system-packages.txt").write_text("medfed-made-up  # to test this\n")
    script = (ROOT / "scripts/system_packages.py").read_text("utf-8")
    pytester.makepyfile(system_packages=script)
    pytester.makeconftest((ROOT / "tests/conftest.py").read_text("utf-8"))
    pytester.makeini("[pytest]\nmarkers = needs_package(name)\npythonpath = .\n")
    pytester.makepyfile(
        f"import pytest\n@pytest.mark.needs_package({name!r})\ndef test_it(): pass\n"
    )
    monkeypatch.setenv("CI", ci)
    monkeypatch.setenv("PYTEST_ADDOPTS", "")
    answer = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-rs")
    answer.assert_outcomes(**outcome)
    if "skipped" in outcome:
        answer.stdout.fnmatch_lines(["*medfed-made-up is missing*make system-packages*"])


# --- benchmark tables -----------------------------------------------------------------------------

ROW = {"name": "a", "value": 1.234, "unit": "ms", "limit": 2, "better": "lower", "holds": True}


def test_the_benchmark_table_says_what_misses():
    rows = [ROW, {**ROW, "name": "b|c", "value": 12345.6, "holds": False}, {**ROW, "limit": None}]
    lines = bench.table(rows).splitlines()
    assert lines[2] == "| a | 1.23 ms | ≤ 2 | yes |"
    assert lines[3] == "| b\\|c | 12,346 ms | ≤ 2 | **no** |"
    assert lines[4] == "| a | 1.23 ms | – | – |"


@pytest.mark.parametrize("rows", [{}, [{"name": "a"}], [{**ROW, "better": "faster"}], [3]])
def test_benchmark_rows_are_checked(rows):
    with pytest.raises(bench.BenchError):
        bench.check_rows("x.py", rows)


def test_a_benchmark_script_is_run_and_read(tmp_path):
    script = tmp_path / "tiny.py"
    script.write_text(
        "import sys\nassert '--json' in sys.argv\nprint('hello')\n"
        f"print('''{json.dumps([ROW])}''')\n"
    )
    assert bench.rows_of(script, quick=True) == [ROW]
    script.write_text("print('no rows')\nraise SystemExit(4)\n")
    with pytest.raises(bench.BenchError, match="status 4"):
        bench.rows_of(script, quick=False)


def test_the_benchmark_page_keeps_the_tables_of_scripts_not_run(tmp_path, monkeypatch):
    page = tmp_path / "page.md"
    monkeypatch.setattr(bench, "scripts", lambda only: [Path("old.py"), Path("new.py")])
    bench.write_page({"old": "## old\n\none\n", "gone": "## gone\n\nx\n"}, page)
    bench.write_page({"new": "## new\n\ntwo\n"}, page)
    assert re.findall(r"^## .*|^one$|^two$", page.read_text("utf-8"), re.MULTILINE) == [
        "## new", "two", "## old", "one",
    ]  # fmt: skip


# --- make -----------------------------------------------------------------------------------------


def test_make_alone_lists_the_targets():
    env = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    printed = subprocess.check_output(["make", "-C", ROOT], text=True, env=env)
    names = ("setup", "demo", "test", "test-slow", "check", "bench", "audit", "system-packages")
    for target in names:
        assert f"make {target} " in printed


def test_no_file_names_a_machine():
    """Nothing that exists on one machine only belongs into the repository."""
    names = ["pyproject.toml", "requirements.lock", "Makefile", ".ci/run"]
    files = [ROOT / name for name in names] + list((ROOT / "scripts").glob("*.*"))
    for path in files:
        text = path.read_text("utf-8")
        assert not re.search(r"/(work|opt|home|root|tmp)/|https?://", text), path
