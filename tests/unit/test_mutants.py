"""The list of defences that `make mutants` takes out fits the source, and what it tries is seen."""

import shutil
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "scripts"))
import mutants  # noqa: E402  # a script

EACH = pytest.mark.parametrize("mutant", mutants.mutants(), ids=lambda mutant: mutant.name)


@EACH
def test_what_is_taken_out_is_there_once_and_has_a_test(mutant):
    source = (ROOT / "src/medfed" / mutant.file).read_text("utf-8")
    assert source.count(mutant.old) == 1
    compile(source.replace(mutant.old, mutant.new), mutant.file, "exec")
    file, _, test = mutant.test.partition("::")
    assert f"def {test}(" in (ROOT / file).read_text("utf-8")


def test_a_name_stands_once():
    names = [mutant.name for mutant in mutants.mutants()]
    assert len(set(names)) == len(names)
    assert all(
        name.startswith("ledger-") for name in [m.name for m in mutants.mutants(("ledger-",))]
    )


@pytest.fixture
def copy(tmp_path):
    (tmp_path / "src/medfed").mkdir(parents=True)
    (tmp_path / "src/medfed/lock.py").write_text("OPEN = False\n")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "test_lock.py").write_text(
        "def test_looks():\n    assert 'False' in open('src/medfed/lock.py').read()\n"
        "def test_sleeps():\n    pass\n"
        "def test_is_away():\n    import pytest\n    pytest.skip('no data')\n"
    )
    return tmp_path


@pytest.mark.parametrize(("test", "seen"), [("test_looks", True), ("test_sleeps", False)])
def test_it_is_told_whether_the_test_notices_and_all_is_put_back(copy, test, seen):
    mutant = mutants.Mutant("lock", "lock.py", "False", "True", f"test_lock.py::{test}")
    assert mutants.noticed(mutant, copy) is seen
    assert (copy / "src/medfed/lock.py").read_text() == "OPEN = False\n"


@pytest.mark.parametrize("test", ["test_gone", "test_is_away"])
def test_a_test_that_did_not_run_has_noticed_nothing(copy, test):
    mutant = mutants.Mutant("lock", "lock.py", "False", "True", f"test_lock.py::{test}")
    with pytest.raises(RuntimeError, match="cannot be run"):
        mutants.noticed(mutant, copy)
