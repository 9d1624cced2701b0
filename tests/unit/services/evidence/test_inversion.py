"""First-layer inversion on real runs: a lone patient is read, an averaged update is not."""

import pytest
from torch import nn
from unit.services.evidence.small_runs import run_here, write_tables

from medfed.services.evidence.inversion import first_layer, inversion
from medfed.services.evidence.opening import open_finished
from medfed.services.evidence.tables import Table


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
