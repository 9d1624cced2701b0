"""First-layer inversion on real runs: a lone patient is read, an averaged update is not."""

import json
from dataclasses import replace
from importlib.resources import files

import jsonschema
import numpy as np
import pytest
from torch import nn
from unit.services.evidence.small_runs import COLUMNS, run_here, study_text, write_tables

from medfed.core.study_file import parse_study
from medfed.privacy.dp_sgd import DpSgd
from medfed.services import runs
from medfed.services.evidence.canary import canaries
from medfed.services.evidence.inversion import first_layer, inversion
from medfed.services.evidence.lines import Lines
from medfed.services.evidence.membership import lira
from medfed.services.evidence.opening import open_finished
from medfed.services.evidence.rehearsal import first_update
from medfed.services.evidence.report import ReportOptions, make_report
from medfed.services.evidence.tables import Table
from medfed.services.sites import open_ledger

SCHEMA = json.loads(
    (files("medfed.services.evidence") / "privacy-report.schema.json").read_text("utf-8")
)


def found(out, site=None):
    run = open_finished(out, site)
    result = inversion(run, Table.of(run.job()))
    assert result["done"]
    return result, {step["what"]: step for step in result["steps"]}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_tables(tmp_path_factory.mktemp("data"), ("north", "south"), patients=100)


SHORT = "local_epochs = 2\nbatch_size = 16\nlr = 0.05"


@pytest.mark.parametrize("hidden", [(), (6,)])
def test_a_bare_gradient_gives_the_row_and_the_studys_update_does_not(data, tmp_path, hidden):
    out = run_here(tmp_path / "run", data, sites=("north", "south"), hidden=hidden, options=SHORT)
    result, steps = found(out, "north")
    assert result["inputs"] == 200
    assert result["units"] == (hidden or (1,))[0]

    bare = steps["gradient"]
    assert bare["read"] >= 0.9 * bare["patients"]  # a network's units may all be silent for one
    assert bare["error"] < 1e-3
    assert bare["correlation"] > 0.999
    lone = steps["lone-patient"]  # local steps do not hide who is alone
    assert lone["error"] < 0.05

    for what in ("update", "model"):
        sent = steps[what]
        assert sent["leaves"]
        assert sent["read"] == 0
        assert sent["error"] > 0.5
        assert not sent["shown"]
        assert sent["held_out"]["read"] == 0
    assert not result["shown"]


def test_compression_and_a_strategy_of_gradients_are_taken_as_they_are(data, tmp_path):
    out = run_here(
        tmp_path / "run",
        data,
        sites=("north", "south"),
        strategy="fedsgd",
        options="lr = 0.1",
        tables='[compression]\nname = "fp16"',
    )
    _, steps = found(out, "south")
    assert steps["lone-patient"]["error"] < 0.01  # half precision rounds, and hides nothing
    assert steps["lone-patient"]["error"] > 1e-7
    assert steps["update"]["read"] == 0


def test_an_update_of_which_one_patient_is_all_is_flagged(data, tmp_path):
    """Without averaging the study's own update gives rows away, and the report says so."""
    from medfed.services.evidence.inversion import _together

    out = run_here(tmp_path / "run", data, sites=("north",), hidden=(), options=SHORT)
    run = open_finished(out)
    table = Table.of(run.job())
    rows = table.rows[: table.trained]
    leak = {"head.weight": rows * 2.0, "head.bias": [2.0] * len(rows)}  # one unit a patient
    step = _together(table, ("head.weight", "head.bias"), leak)
    assert step["read"] == step["patients"]
    assert step["held_out"]["read"] == 0
    assert step["shown"]


def test_only_a_fully_connected_first_layer_is_read():
    def net(*layers):
        return first_layer(nn.Sequential(*layers))

    assert net(nn.Flatten(), nn.Linear(3, 2)) == ("1.weight", "1.bias")
    assert net(nn.Linear(3, 2, bias=False), nn.Linear(2, 1)) is None
    assert net(nn.Conv3d(1, 2, 3), nn.Linear(2, 1)) is None
    assert net(nn.BatchNorm1d(3), nn.Linear(3, 1)) is None
    assert net(nn.ReLU()) is None


LINES = """
[[privacy]]
name = "{name}"
noise = 2.0
{more}
"""
FACTS = 'one_class = "train"\npublic_ranges = {' + ", ".join(f'"{c}" = [20, 80]' for c in COLUMNS)
FACTS += "}\n[strategy]"


@pytest.fixture(scope="module")
def noised(data, tmp_path_factory):
    """A run under DP-SGD: two sites, of which one is looked at."""
    lines = LINES.format(name="dp-sgd", more="patients = { north = 50, south = 50 }")
    text = study_text(sites=("north", "south"), options=SHORT, tables=lines)
    return run_text(tmp_path_factory.mktemp("noised") / "run", data, text)


def run_text(out, data, text):
    text = text.replace("[strategy]", FACTS)
    runs.start(parse_study(text), runs.RunOptions(out, data=data, report=False), text)
    return out


def test_rows_are_read_before_the_privacy_lines_and_not_after(noised):
    result, steps = found(noised, "north")
    assert steps["gradient"]["read"] == steps["gradient"]["patients"]
    assert steps["lone-patient"]["error"] < 0.05
    for what in ("private-gradient", "private-lone-patient", "private-update"):
        assert steps[what]["read"] == 0, what
        assert steps[what]["error"] > 0.5, what
    assert steps["private-update"]["leaves"]
    assert not steps["update"]["leaves"]
    assert not result["shown"]


def test_what_is_after_shows_when_the_lines_do_nothing(noised, monkeypatch):
    """The test above can fail."""
    monkeypatch.setattr(Lines, "wrap", lambda self, job: job)
    _, steps = found(noised, "north")
    assert steps["private-gradient"]["read"] == steps["gradient"]["read"] > 0


def test_a_coordinators_noise_is_not_in_what_a_site_sends(data, tmp_path):
    """Hospital-level: the update that the coordinator sees is clipped, and that is all."""
    lines = LINES.format(name="hospital-dp", more="clip = 0.01")
    text = study_text(sites=("north", "south"), options=SHORT, tables=lines)
    run = open_finished(run_text(tmp_path / "run", data, text), "north")
    job = Table.of(run.job()).learning_from(np.arange(40))
    initial = run.task.initial(run.study.seed, run.facts)
    sent = first_update(run.study, initial, job, Lines(run.study, "north"))
    norm = np.sqrt(sum(np.vdot(v, v) for v in sent.tensors.values()))
    assert norm == pytest.approx(0.01, rel=1e-3)
    attack = lira(run, Table.of(run.job()), 8, lambda *_: None)
    assert attack["weak"]
    assert "coordinator adds" in attack["why_weak"]


def test_a_whole_report_has_the_bound_beside_the_claim(noised):
    about = make_report(
        ReportOptions(noised, site="north", shadows=8), lambda _: None, lambda *_: None
    ).about
    jsonschema.validate(about, SCHEMA)
    (canary,), (claim,) = about["canary"], about["claimed"]
    assert (canary["delta"], canary["paid"], canary["shown"]) == (claim["delta"], True, False)
    assert canary["claimed"] == pytest.approx(claim["epsilon"], rel=1e-6)
    assert 0 < canary["least"] < canary["claimed"]


def test_a_ledger_that_holds_less_than_was_answered_is_told(noised, monkeypatch):
    plain = DpSgd.answer

    def more(self, plan, work, round_):
        found = plain(self, plan, work, round_)
        return replace(found, times=found.times + 1)

    monkeypatch.setattr(DpSgd, "answer", more)
    (canary,) = canaries(open_finished(noised, "north"))
    assert canary["paid"] is False


def test_shadow_models_learn_under_the_lines(noised, monkeypatch):
    wrapped = []
    plain = Lines.wrap

    def watched(self, job):
        wrapped.append(plain(self, job))
        return wrapped[-1]

    monkeypatch.setattr(Lines, "wrap", watched)
    run = open_finished(noised, "north")
    ledger = open_ledger(noised / "sites" / "north").entries()
    attack = lira(run, Table.of(run.job()), 8, lambda *_: None)
    assert attack["done"]
    assert not attack["weak"]
    assert [type(job).__name__ for job in wrapped] == ["PrivateJob"] * 8
    assert open_ledger(noised / "sites" / "north").entries() == ledger, "evidence costs nothing"
