"""What studies promise, worked out here and in a process of its own."""

from __future__ import annotations

import sys

import pytest
from accounting import EXAMPLES
from working_sites import a_study

from medfed.core.errors import RunError
from medfed.core.registry import Part
from medfed.core.study_file import read_study
from medfed.services.protections import Protections, protections

NOISED = read_study(EXAMPLES / "breast_cancer_dp.toml")


def test_a_plain_study_promises_nothing_and_needs_no_process():
    assert Protections(["false"]).of(a_study()) == ()


def test_a_secure_sum_is_explained_without_a_process():
    (said,) = Protections(["false"]).of(a_study(aggregator=Part("secure-sum", {})))
    assert said.name == "secure-sum"
    assert said.sentences[0].startswith("Protects each site's update")


def test_another_process_says_the_same_and_is_asked_once(monkeypatch):
    console = Protections()
    found = console.of(NOISED)
    assert list(found) == protections(NOISED)
    assert "Costs a patient of " in " ".join(found[0].sentences)
    monkeypatch.setattr("subprocess.run", None)
    assert console.of(NOISED) is found


@pytest.mark.parametrize("command", [("false",), ("echo", "{}"), ("echo",), ("no-such-program",)])
def test_a_process_that_says_nothing_is_no_answer(command):
    with pytest.raises(RunError, match="could not be worked out"):
        Protections(command).of(NOISED)


def test_the_process_is_this_very_program():
    assert Protections()._command[0] == sys.executable
