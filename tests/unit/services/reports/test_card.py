"""The model card: true about privacy and figures, whatever others wrote."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markupsafe import escape
from unit.services.pages import check_page
from unit.services.reports.made_up_run import STUDY, result_of, row

from medfed.core.guideline import Guideline
from medfed.core.registry import Part
from medfed.services.reports import TOLD, retell, write_model_card, write_report
from medfed.services.reports.card import contents, markdown, render
from medfed.services.reports.speech import ENGLISH
from medfed.services.reports.view import RunView


def test_the_card_is_data_too(study, begin):
    folder, result = begin(study, []), result_of(study)
    write_model_card(folder, result)
    card = json.loads((folder.path / "model_card.json").read_text("utf-8"))
    assert card["figures"] == result["metrics"]
    assert card["provenance"]["model SHA-256"] == result["model_sha256"]
    assert any("not protected by differential privacy" in each for each in card["privacy"])
    assert card["limits"]


@pytest.mark.parametrize("change", [{}, {"report": "overall"}, {"keep": "last"}])
def test_the_cards_data_tell_the_same_card(study, begin, change):
    link = Guideline("Nodules [a](b) <i>", "https://x.example/")
    plan = study.evolve(guideline=link, **change)
    folder = begin(plan, [])
    text = write_model_card(folder, result_of(plan)).read_text("utf-8")
    data = json.loads((folder.path / "model_card.json").read_text("utf-8"))
    assert retell(data[TOLD]) == text


def test_the_card_links_to_the_guideline_of_the_study(study, begin):
    link = Guideline("Nodules [a](b) <i>", "https://x.example/a_(b)?c=1&d=*2*")
    read_with = study.evolve(guideline=link)
    for plan, shown in ((read_with, link.to_json()), (study, None)):
        folder = begin(plan, [])
        text = write_model_card(folder, result_of(plan)).read_text("utf-8")
        card = json.loads((folder.path / "model_card.json").read_text("utf-8"))
        assert card["guideline"] == shown
        assert ("Read it with" in text) == bool(shown)
        if shown:
            page = MarkdownIt("commonmark").render(text)
            assert f'<a href="{escape(link.url)}">{escape(link.title)}</a>' in page


def test_training_patients_are_told_by_the_weights_of_updates(study, begin):
    change = {
        s: {"cosine": 0.9, "norm": 1.0, "weight": 40.0 + n} for n, s in enumerate(study.sites)
    }
    rows = [row(r, study.sites, **({"site_change": change} if r else {})) for r in range(3)]
    for plan, known in (
        (study, {site: 40 + n for n, site in enumerate(study.sites)}),
        (study.evolve(privacy=(Part("hospital-dp", {"noise": 1.0}),)), {}),
        (study.evolve(report="overall"), {}),
    ):
        folder = begin(plan, rows)
        assert RunView(folder, result_of(plan)).trained == known
        text = write_model_card(folder, result_of(plan)).read_text("utf-8")
        assert bool(re.search(rf"\| {sum(known.values())} \|", text)) == bool(known)


def test_the_card_tells_the_truth_about_privacy(study, begin):
    folder = begin(study, [])
    card = write_model_card(folder, result_of(study)).read_text("utf-8")
    assert "Model updates were not protected by differential privacy." in card
    assert "The coordinator could read each site’s update by itself" in card
    assert "All sites ran on one machine" in card
    private = study.evolve(privacy=(Part("dp-sgd", {"noise": 1.1, "clip": 1.0}),))
    between = {"engine": "flower", "coordinator": "/srv/fed"}
    folder.create(private, None, folder.record() | between)
    card = write_model_card(folder, result_of(study)).read_text("utf-8")
    assert "not protected by differential privacy" not in card
    assert "dp-sgd (noise 1.1, clip 1.0)" in card
    assert "All sites ran on one machine" not in card
    said = check_page(write_report(folder, result_of(study)).read_text("utf-8")).words
    assert "not protected by differential privacy" not in said
    assert "its noise is drawn anew" in said


@pytest.mark.parametrize(
    ("record", "words", "engine"),
    [
        ({"engine": "flower"}, "on one machine (engine flower)", "all sites on this machine"),
        ({"engine": "ray"}, "on one machine (engine ray)", "all sites on this machine"),
        ({"engine": "ray", "cluster": "ray:1"}, "on one Ray cluster", "ray, cluster ray:1"),
        ({"engine": "flower", "coordinator": "/srv/fed"}, "", "sites of a federation"),
    ],
)
def test_where_the_sites_ran_is_told_for_every_engine(study, begin, record, words, engine):
    folder = begin(study, [])
    folder.create(study, None, folder.record() | record)
    said = check_page(write_report(folder, result_of(study)).read_text("utf-8")).words
    assert words in said
    assert ("ran on one" in said) == bool(words)
    assert engine in said
    assert ("--coordinator /srv/fed" in said) == ("coordinator" in record)


def test_the_card_goes_elsewhere_and_names_no_place_of_this_machine(study, begin):
    folder = begin(study, [], text=STUDY, data="/my data", coordinator="/srv/fed")
    said = render(contents(RunView(folder, result_of(study))), ENGLISH)
    command = "medfed run study.toml --out another-folder --engine flower"
    assert f"{command} --coordinator COORDINATOR --data DATA --threads 2" in said
    for place in (folder.path.resolve(), "/my data", "/srv/fed"):
        assert str(place) not in said


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
