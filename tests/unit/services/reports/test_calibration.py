import numpy as np

from medfed.services.reports import charts
from medfed.services.reports.sections import calibration
from medfed.services.reports.speech import ENGLISH
from medfed.tasks.calibration import counted, curve


class View:
    say = ENGLISH

    def __init__(self, **result):
        self.result = result


def measured(many=60):
    rng = np.random.default_rng(0)
    scores = rng.uniform(0.5, 1, many)
    return curve({**counted(scores, rng.random(many) < 2 * scores - 1), "patients": np.array(9.0)})


def test_the_section_has_a_plot_and_the_same_as_a_table():
    found = calibration.section(View(calibration=measured()))
    assert "9 validation patients" in found["sentence"]
    assert found["chart"].startswith("<svg")
    assert sum(many for _, _, many in found["rows"]) == 60


def test_without_a_curve_it_says_why():
    found = calibration.section(View(calibration=measured(12)))
    assert found["chart"] is None
    assert "not calibrated" in found["sentence"]


def test_tasks_that_calibrate_nothing_have_no_section():
    assert calibration.section(View()) is None


def test_the_plot_tells_those_who_cannot_see_it():
    found = measured()
    assert "aria-label=" in charts.reliability("c", found["groups"], found)
