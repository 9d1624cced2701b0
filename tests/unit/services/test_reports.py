"""The report and the model card: true, safe, self-contained, and readable whatever the run."""

from __future__ import annotations

import json
import re
import struct
import zlib
from collections import Counter
from functools import partial
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medfed.core.registry import Part
from medfed.core.study_file import parse_study
from medfed.services.reports import palette, sections, words, write_model_card, write_report
from medfed.services.reports.card import markdown
from medfed.services.reports.toml_text import study_toml
from medfed.services.reports.view import RunView
from medfed.storage.run_folder import RunFolder

STUDY = """
title = "Tumours"
question = "Malignant or benign?"
sites = ["north", "south"]
rounds = 4
min_sites = 1
keep = "best"
[source]
name = "breast-cancer"
[split]
name = "hash"
valid = 0.2
[task]
name = "tabular-classification"
target = "diagnosis"
positive = "= malignant"
numeric = ["mean radius", "mean texture"]
[strategy]
name = "fedavg"
[compression]
name = "top-k"
"""
EVIL = '"><img src=x onerror=alert(1)><script>alert(2)</script>&amp; $x^2$ {{ 7*7 }}'
VOID = {"meta", "img", "br", "link", "input", "hr"}


# --- a made-up run --------------------------------------------------------------------------------


def interval(value, width=0.06):
    return {"value": value, "low": value - width, "high": value + width}


def row(round_, at, missing=None, **changes):
    scored = {"auc": 0.5 + 0.08 * round_, "accuracy": 0.5, "loss": 0.7 - 0.1 * round_}
    made = {"round": round_, "set": "valid", "metrics": scored, "seconds": 0.0}
    made["sites"] = dict.fromkeys(at, scored)
    if round_:
        made |= {
            "participants": [site for site in at if site not in (missing or {})],
            "missing": missing or {},
            "seconds": 1.5,
            "site_seconds": dict.fromkeys(at, 0.5),
            "bytes_up": 2_000_000,
            "bytes_down": 1_000_000,
            "loss": 0.6 / round_,
            "site_loss": dict.fromkeys(at, 0.6 / round_),
        }
    return made | changes


def result_of(study, sites=None):
    figures = {"auc": interval(0.82), "accuracy": interval(0.8), "loss": interval(0.4, 0.01)}
    by_site = {site: dict(figures) for site in study.sites} if sites is None else sites
    return {
        "schema": 1,
        "study": study.digest,
        "engine": "local",
        "rounds": 4,
        "model_sha256": "cd" * 32,
        "metrics": {"overall": figures, "sites": by_site},
        "patients": {"overall": 162, **dict.fromkeys(study.sites, 81)},
        "kept_round": 3,
        "importance": {"mean radius": interval(0.2), "mean texture": interval(0.01)},
        "seconds": 83.4,
        "bytes_up": 8_000_000,
        "bytes_down": 4_000_000,
        "run_dir": "somewhere",
    }


def new_run(path, study, rows, text=None, **record):
    folder = RunFolder(path)
    about = {"run": "ab" * 8, "engine": "local", "workers": 0, "study": study.digest}
    about |= {"execution": {"threads": 2}, "environment": {"medfed": "0.1.0"}}
    folder.create(study, text, about | record)
    for one in rows:
        folder.add_row(one)
    return folder


@pytest.fixture
def begin(tmp_path):
    """Begin a run's folder: ``begin(study, rows)``."""
    return partial(new_run, tmp_path / "run")


@pytest.fixture(scope="module")
def study():
    return parse_study(STUDY)


@pytest.fixture(scope="module")
def run(study, tmp_path_factory):
    """A run like many, with its report."""
    late = {"south": {"reason": "late", "message": "no reply within 30 s"}}
    rows = [row(r, study.sites, late if r == 2 else None) for r in range(5)]
    folder = new_run(tmp_path_factory.mktemp("runs") / "run", study, rows)
    write_report(folder, result_of(study))
    return folder


# --- reading pages --------------------------------------------------------------------------------


class Page(HTMLParser):
    """A page that must close what it opens."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.ids, self.links, self.text = [], Counter(), Counter(), [], []
        self.handlers = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags[tag] += 1
        given = dict(attrs)
        assert len(given) == len(attrs), f"an attribute twice in {tag}"
        self.ids.update([given["id"]] if "id" in given else [])
        self.links += [given[a] for a in ("src", "href", "xlink:href", "action") if a in given]
        self.handlers += [name for name in given if name.startswith("on")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] != ["style"]:
            self.text.append(data)

    @property
    def words(self):
        return " ".join(" ".join(self.text).split())


def check_safe(folder, result):
    return check_text(write_report(folder, result).read_text("utf-8"))


def check_text(text):
    page = Page(text)
    assert max(page.ids.values()) == 1
    assert not {"script", "link", "iframe", "object", "form"} & set(page.tags)
    assert not page.handlers
    for link in page.links:
        assert link.startswith(("#", "data:image/png;base64,")), link
        assert not link.startswith("#") or link[1:] in page.ids, link
    for url in re.findall(r"url\(([^)]*)\)", text):
        assert url[0] == "#", url
        assert url[1:] in page.ids, url
    assert not re.search(r"https?:|@import|javascript:", text)
    assert "default-src 'none'" in text
    return page


# --- the report -----------------------------------------------------------------------------------


def test_a_report_stands_alone_and_says_what_matters(run, study):
    page = check_text((run.path / "report.html").read_text("utf-8"))
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
    assert "alert" in command
    assert "<" not in before + after
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


def test_without_validation_patients_the_report_says_whose_curves_it_draws(study, begin):
    plain = study.evolve(keep="last", split=Part("hash", {"test": 0.3}))
    folder = begin(plain, [row(r, plain.sites, set="test") for r in range(3)])
    view = RunView(folder, result_of(plain) | {"kept_round": 4})
    assert "so the curves are drawn on the test patients" in sections.notes.section(view)[0]
    assert "4 rounds of training (the last aggregate)" in sections.headline.sentence(view)


# --- pictures, comparisons, notices ---------------------------------------------------------------


def png():
    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    data = chunk(b"IDAT", zlib.compress(b"\0\0"))
    return b"\x89PNG\r\n\x1a\n" + head + data + chunk(b"IEND", b"")


def put_pictures(folder, caption):
    pictures = folder.path / "pictures"
    pictures.mkdir()
    (pictures / "a.png").write_bytes(png())
    (pictures / "not.png").write_text("<script>")
    (folder.path.parent / "secret.png").write_bytes(png())
    files = ("a.png", "../../secret.png", "absent.png", "not.png")
    index = [{"file": file, "caption": caption} for file in files]
    (pictures / "index.json").write_text(json.dumps(index))


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


# --- the study and the command --------------------------------------------------------------------


def test_the_study_shown_is_the_study_signed(study):
    odd = study.evolve(title='a "b" \\ \n c\x7f', sites=tuple(f"site-{i}" for i in range(40)))
    for one in (study, odd):
        assert parse_study(study_toml(one)).digest == one.digest


def test_the_command_repeats_this_run(study, begin):
    folder = begin(study.evolve(seed=7), [], text=STUDY, data="/my data")
    said = sections.repeat.section(RunView(folder, result_of(study)))["command"]
    assert f"{folder.path.resolve()}/study.toml --out another-folder --seed 7" in said
    assert "--data '/my data' --threads 2" in said


# --- the model card -------------------------------------------------------------------------------


def test_the_card_tells_the_truth_about_privacy(study, begin):
    folder = begin(study, [])
    card = write_model_card(folder, result_of(study)).read_text("utf-8")
    assert "Model updates were not protected by differential privacy." in card
    assert "The coordinator could read each site’s update by itself" in card
    assert "All sites ran on one machine" in card
    private = study.evolve(privacy=(Part("dp-sgd", {"noise": 1.1, "clip": 1.0}),))
    folder.create(private, None, folder.record() | {"engine": "flower"})
    card = write_model_card(folder, result_of(study)).read_text("utf-8")
    assert "not protected by differential privacy" not in card
    assert "dp-sgd (noise 1.1, clip 1.0)" in card
    assert "All sites ran on one machine" not in card
    said = check_safe(folder, result_of(study)).words
    assert "not protected by differential privacy" not in said
    assert "its noise is drawn anew" in said


def test_the_card_has_its_sections_and_tables(run, study):
    card = write_model_card(run, result_of(study)).read_text("utf-8")
    headings = re.findall(r"^## (.+)$", card, re.MULTILINE)
    assert headings == [
        "Model", "Intended use", "Data", "Training", "Figures", "Limits", "Privacy", "Provenance",
    ]  # fmt: skip
    assert "| all sites | – | 162 |" in card
    assert r"| north | 0.82 \[0.76–0.88\] |" in card
    for block in re.findall(r"(?:^\|.*\n)+", card, re.MULTILINE):
        assert len({line.count("|") for line in block.splitlines()}) == 1
    assert "Research use only; not a medical device." in card
    assert study.digest in card


@given(st.text())
def test_no_text_escapes_in_markdown(text):
    safe = str(markdown(text))
    assert "\n" not in safe
    assert not re.search(r"(?<!\\)(?:\\\\)*[`*_\[\]|<]", safe)


# --- a real run -----------------------------------------------------------------------------------


def test_a_real_run_is_reported_with_its_receipts(tmp_path):
    from medfed.services.runs import RunOptions, start

    real = parse_study(STUDY).evolve(rounds=2, keep="last", compression=None)
    result = start(real, RunOptions(tmp_path / "run"))
    folder = RunFolder(tmp_path / "run")
    said = check_safe(folder, result).words
    assert "logistic regression, 2 → 1" in said
    assert 'of "Tumours": sent' in said
    trained = re.search(r"all sites (\d+)", said)
    assert trained
    assert 0 < int(trained[1]) < 569
    assert "logistic regression, 2 → 1" in write_model_card(folder, result).read_text("utf-8")
    receipts = next((folder.path / "sites/north/receipts").glob("*.jsonl"))
    receipts.write_text(receipts.read_text().replace('"bytes": ', '"bytes": 9', 1))
    found = RunView(folder, result).receipts[0]
    assert found.signed == found.count - 1


# --- words ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("figure", "text"),
    [
        ({"value": 0.98643, "low": 0.5, "high": 1.0}, "0.99 [0.50–1.00]"),
        ({"value": 0.98643, "low": 0.97123, "high": 0.99421}, "0.986 [0.971–0.994]"),
        ({"value": 0.0123, "low": 0.0101, "high": 0.0149}, "0.0123 [0.0101–0.0149]"),
        ({"value": -0.2, "low": -0.5, "high": 0.1}, "−0.20 [−0.50 to 0.10]"),
        ({"value": 0.5, "low": None, "high": None}, "0.500"),
        ({"value": 1.0, "low": 1.0, "high": 1.0}, "1.00 [1.00–1.00]"),
        ({"value": float("nan"), "low": 0.0, "high": 1.0}, "– [0.00–1.00]"),
        (None, "–"),
    ],
)
def test_figures_get_the_digits_they_deserve(figure, text):
    assert words.figure_text(figure) == text


def test_units_are_those_that_people_use():
    assert [words.bytes_text(n) for n in (0, 999, 1500, 1.2e6, 3.45e9)] == [
        "0 bytes", "999 bytes", "1.5 kB", "1.2 MB", "3.45 GB",
    ]  # fmt: skip
    assert [words.duration_text(s) for s in (0.04, 2.44, 59.97, 83, 7260)] == [
        "40 ms", "2.4 s", "1 min", "1 min 23 s", "2 h 1 min",
    ]  # fmt: skip
    assert words.rounds_text([1, 2, 3, 7]) == "1–3, 7"
    assert words.listing(["a", "b", "c"], 2) == "a, b and 1 more"
    assert words.metric_name("balanced_accuracy") == "balanced accuracy"
