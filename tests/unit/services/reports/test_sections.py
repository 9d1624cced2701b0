"""What single sections say, and the study and the command that repeat a run."""

from unit.services.reports.made_up_run import STUDY, result_of, row

from medfed.core.registry import Part
from medfed.core.study_file import parse_study
from medfed.services.reports import sections
from medfed.services.reports.toml_text import study_toml
from medfed.services.reports.view import RunView


def test_without_validation_patients_the_report_says_whose_curves_it_draws(study, begin):
    plain = study.evolve(keep="last", split=Part("hash", {"test": 0.3}))
    folder = begin(plain, [row(r, plain.sites, set="test") for r in range(3)])
    view = RunView(folder, result_of(plain) | {"kept_round": 4})
    assert "so the curves are drawn on the test patients" in sections.notes.section(view)[0]
    assert "4 rounds of training (the last aggregate)" in sections.headline.sentence(view)


def test_the_study_shown_is_the_study_signed(study):
    odd = study.evolve(title='a "b" \\ \n c\x7f', sites=tuple(f"site-{i}" for i in range(40)))
    for one in (study, odd):
        assert parse_study(study_toml(one)).digest == one.digest


def test_the_command_repeats_this_run(study, begin):
    folder = begin(study.evolve(seed=7), [], text=STUDY, data="/my data")
    said = sections.repeat.section(RunView(folder, result_of(study)))["command"]
    assert f"{folder.path.resolve()}/study.toml --out another-folder --seed 7" in said
    assert "--data '/my data' --threads 2" in said
