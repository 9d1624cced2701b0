"""The report: true, safe, self-contained, and readable whatever the run."""

import json
import re

from unit.services.pages import check_page
from unit.services.reports.made_up_run import EVIL, STUDY, interval, put_pictures, result_of, row

from medfed.core.study_file import parse_study
from medfed.services.reports import palette, write_model_card, write_report
from medfed.services.reports.view import RunView
from medfed.storage.run_folder import RunFolder


def check_safe(folder, result):
    return check_page(write_report(folder, result).read_text("utf-8"))


def test_a_report_stands_alone_and_says_what_matters(run, study):
    page = check_page((run.path / "report.html").read_text("utf-8"))
    said = page.words
    assert "On 162 held-out test patients of 2 sites, the federated model of round 3" in said
    assert "the best of 4 rounds on the validation patients, reaches AUC 0.82" in said
    assert "(95 % interval 0.76 to 0.88)" in said
    assert "Research use only; not a medical device." in said
    assert "1 of 2 sites took part in all 4 rounds: north." in said
    assert "no reply within 30 s" in said
    assert "The curves are on validation patients" in said
    assert "12 MB" in said
    assert "1 min 23 s" in said
    assert "not protected by differential privacy" in said
    assert "Of 2 inputs, mean radius has an interval clear of zero." in said
    assert study.digest in said
    assert "cd" * 32 in said
    assert page.tags["svg"] == 7


def test_charts_have_words_and_follow_the_theme(run):
    text = (run.path / "report.html").read_text("utf-8")
    charts = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    for chart in charts:
        assert re.match(r'<svg [^>]*role="img" aria-label="[^"]{10,}"', chart)
        assert not re.findall(r"(?:fill|stroke): #\w+", chart)
    assert "prefers-color-scheme: dark" in text
    for name in palette.COLOURS:
        assert text.count(f"--{name}:") == 2
    assert 'scope="row"' in text
    assert 'scope="col"' in text


def test_the_same_run_gives_the_same_report(run, study):
    first = (run.path / "report.html").read_bytes()
    assert write_report(run, result_of(study)).read_bytes() == first
    assert not list(run.path.glob(".*.part"))


def test_what_others_wrote_cannot_become_markup(study, begin):
    evil = study.evolve(title=EVIL, question=EVIL, sites=(EVIL, "_two"))
    missing = {EVIL: {"reason": EVIL, "message": EVIL}}
    rows = [row(0, evil.sites), row(1, evil.sites, missing), row(2, evil.sites)]
    folder = begin(evil, rows, notice=EVIL, environment={EVIL: EVIL}, data=EVIL)
    result = result_of(evil) | {"importance": {EVIL: interval(0.3)}, "notice": [EVIL, EVIL]}
    put_pictures(folder, EVIL)
    summary = [{"recipe": EVIL, "metric": "auc", **interval(0.8)}]
    compared = {"rows": [], "summary": summary, "statement": EVIL}
    (folder.path / "comparison.json").write_text(json.dumps(compared))
    page = check_safe(folder, result)
    assert page.tags["img"] == 1
    assert page.words.count("alert(2)") > 5
    assert "{{ 7*7 }}" in page.words
    card = write_model_card(folder, result).read_text("utf-8")
    before, command, after = card.split("```")  # nobody closed the fence of the command
    assert command.startswith("sh\nmedfed run ")
    assert "<" not in before + command + after
    assert "\n> **" in card


def test_figures_that_cannot_be_computed_are_dashes(study, begin):
    folder = begin(study, [row(0, study.sites), row(1, ["north"], sites={"south": {}}, loss=None)])
    nothing = {"value": None, "low": None, "high": None}
    sites = {
        "north": {"auc": interval(1.0, 0)},
        "south": {"accuracy": {"value": 0.5}, "auc": nothing},
    }
    page = check_safe(folder, result_of(study, sites))
    assert "where a figure cannot be computed at a site" in page.words
    assert "An interval without width" in page.words
    result = result_of(study, {})
    result["metrics"]["overall"] = {"auc": {"value": float("nan"), "low": None, "high": None}}
    result |= {"patients": {}, "importance": {}}
    page = check_safe(folder, result)
    assert "No AUC could be computed" in page.words
    assert "recorded no figures of single sites" in page.words


def test_an_untrained_run_is_reported_too(study, begin):
    folder = begin(study, [row(0, study.sites)])
    page = check_safe(folder, result_of(study) | {"rounds": 0, "kept_round": 0})
    assert "the untrained model reaches AUC 0.82" in page.words
    assert "Who took part" not in page.words


def test_a_run_without_rows_is_reported_too(study, begin):
    page = check_safe(begin(study, []), result_of(study) | {"importance": {}})
    assert "No round was scored." in page.words


def test_two_hundred_sites_stay_readable(study, begin):
    many = study.evolve(sites=tuple(f"site-{i:03}" for i in range(200)))
    late = {"site-007": {"reason": "late", "message": "slow"}}
    late |= {"site-009": {"reason": "too-few-patients", "message": "fewer than 5"}}
    folder = begin(many, [row(r, many.sites, late if r else None) for r in range(4)])
    page = check_safe(folder, result_of(many))
    text = folder.path.joinpath("report.html").read_text("utf-8")
    charts = "".join(re.findall(r"<svg.*?</svg>", text, re.DOTALL))
    drawn = set(re.findall(r"site-\d{3}", charts))
    assert len(drawn) < 30
    assert {"site-007", "site-009"} <= drawn
    assert "middle half of the sites" in page.words
    assert "All 200 sites" in page.words
    assert "198 of 200 sites took part in all 3 rounds." in page.words
    assert len(text) < 600_000
    assert len(write_model_card(folder, result_of(many)).read_text("utf-8").splitlines()) < 250


def test_a_study_that_reports_overall_shows_no_site(study, begin):
    closed = study.evolve(report="overall")
    rows = [row(r, study.sites, sites={}, site_loss={}) for r in range(5)]
    folder = begin(closed, rows)
    for site in study.sites:  # the sites know more than the study may show
        receipts = folder.path / "sites" / site / "receipts"
        receipts.mkdir(parents=True)
        receipt = {"purpose": "query", "patients": 1234567, "bytes": 10, "sentence": "of 1234567"}
        (receipts / "r.jsonl").write_text(json.dumps(receipt) + "\n")
    result = result_of(closed, {})
    page = check_safe(folder, result)
    card = write_model_card(folder, result).read_text("utf-8")
    assert "keeps each site’s figures among the sums" in page.words
    for text in (page.words, card):
        assert "1234567" not in text
        assert "81" not in re.findall(r"\b\d+\b", text.split("Limits")[0])


def test_pictures_and_comparison_come_first(study, begin):
    run = begin(study, [row(0, study.sites)])
    put_pictures(run, "Patient 7: truth green, prediction orange")
    rows = [{"recipe": "federated", "seed": 1, "site": "north", "metric": "auc", "value": 0.8}]
    summary = [
        {"recipe": recipe, "metric": "auc", **interval(value)}
        for recipe, value in (("federated", 0.82), ("local only", 0.75))
    ]
    compared = {"rows": rows, "summary": summary, "statement": "No difference is shown."}
    (run.path / "comparison.json").write_text(json.dumps(compared))
    page = check_safe(run, result_of(study) | {"notice": "Made-up patients."})
    text = (run.path / "report.html").read_text("utf-8")
    assert page.tags["img"] == 1  # neither the missing, nor the fake, nor the one outside
    marks = [
        "Made-up patients.",
        "Patient 7",
        "On 162",
        "No difference is shown.",
        "Round by round",
    ]
    places = [text.index(mark) for mark in marks[:4]] + [text.index("<h2>Round by round")]
    assert places == sorted(places)
    assert "local only" in page.words


def test_a_real_run_is_reported_with_its_receipts(tmp_path):
    from medfed.services.runs import RunOptions, start

    real = parse_study(STUDY).evolve(rounds=2, keep="last", compression=None)
    result = start(real, RunOptions(tmp_path / "run"))
    folder = RunFolder(tmp_path / "run")
    said = check_safe(folder, result).words
    assert "logistic regression, 2 → 1" in said
    assert 'Scoring of "Tumours" after round 2: sent' in said
    trained = re.search(r"all sites (\d+)", said)
    assert trained
    assert 0 < int(trained[1]) < 569
    assert "logistic regression, 2 → 1" in write_model_card(folder, result).read_text("utf-8")
    receipts = next((folder.path / "sites/north/receipts").glob("*.jsonl"))
    receipts.write_text(receipts.read_text().replace('"bytes": ', '"bytes": 9', 1))
    found = RunView(folder, result).receipts[0]
    assert found.signed == found.count - 1
