"""Sentences in another language: places by name, one and many, and pages that are kept."""

import os
import re
from gettext import NullTranslations

import pytest
import wide_font

from medfed.services.reports import charts, words
from medfed.services.reports.drawing import WIDE
from medfed.services.reports.speech import ENGLISH, Speech
from medfed.services.reports.told import told


class Backwards(NullTranslations):
    """A language that turns words round, and counts as Chinese does."""

    def pgettext(self, context, message):
        return " ".join(reversed(message.split()))

    def npgettext(self, context, msgid1, msgid2, n):
        return self.pgettext(context, msgid2)


OTHER = Speech("xx", Backwards(), str.upper)


def test_places_are_filled_by_name_whatever_the_order():
    assert ENGLISH("{patients} of {sites}", patients="9 {x}", sites="A") == "9 {x} of A"
    assert OTHER("{patients} of {sites}", patients=9, sites="{y}") == "{y} of 9"
    assert [ENGLISH.many("{many} site", "{many} sites", n) for n in (1, 2)] == ["1 site", "2 sites"]
    assert OTHER.many("{many} site", "{many} sites", 1) == "sites 1"


def test_names_that_nobody_here_knows_stay_as_they_are():
    assert words.metric_name("own_{x}", OTHER) == "own {x}"
    assert words.recipe_name("{other}.toml", OTHER) == "{other}.toml"


@pytest.fixture
def written(tmp_path):
    page = tmp_path / "report.html"
    page.write_bytes(b"in English")
    return page


def test_a_page_is_made_once_and_again_when_the_english_one_is_newer(written):
    made = []

    def render():
        made.append("x")
        return f"page {len(made)}"

    assert told(written, ENGLISH, render) == b"in English"
    assert [told(written, OTHER, render) for _ in range(2)] == [b"page 1"] * 2
    later = written.with_suffix(".xx.html").stat().st_mtime_ns + 1_000_000_000
    os.utime(written, ns=(later, later))
    assert told(written, OTHER, render) == b"page 2"


def test_where_a_page_cannot_be_made_the_english_one_is_shown(written, caplog):
    def render():
        raise KeyError("damaged")

    assert told(written, OTHER, render) == b"in English"
    assert "could not be made" in caplog.text
    assert list(written.parent.iterdir()) == [written]


def test_the_font_that_measures_han_characters_is_what_its_script_writes():
    assert WIDE.read_bytes() == wide_font.font()


def test_labels_of_square_characters_are_given_their_room():
    figure = {"value": 0.5, "low": 0.4, "high": 0.6}

    def left_edge(name: str) -> float:
        chart = charts.forest("chart", "指标", {name: figure}, None, {name: "#000000"})
        return min(float(x) for x in re.findall(r'd="M ([\d.]+) ', chart) if float(x))

    assert left_edge("甲" * 20) - left_edge("甲") == pytest.approx(19 * 7.5, abs=1)  # points
