"""The font that comes along writes all that the consoles say, and names of people."""

from __future__ import annotations

import unicodedata

import chinese_font
import pytest
import translate
from fontTools.ttLib import TTFont

from medfed.imaging import fonts


@pytest.fixture(scope="module")
def font():
    with TTFont(fonts.CHINESE) as opened:
        yield opened


def lacking(font: TTFont, text: str) -> set[str]:
    """What would be a box, but for raised and lowered letters: they stand in formulas of pages."""
    drawn = font.getBestCmap()
    return {
        sign
        for sign in text
        if ord(sign) not in drawn
        and unicodedata.category(sign)[0] in "LPSN"
        and not unicodedata.decomposition(sign).startswith("<su")
    }


def test_it_has_what_its_script_keeps_of_chinese(font):
    han = {
        sign
        for sign in map(chr, chinese_font.kept())
        if "CJK UNIFIED" in unicodedata.name(sign, "")
    }
    assert len(han) > 7000
    assert lacking(font, "".join(han)) == set()


def test_it_has_every_character_of_the_translations(font):
    (catalogue,) = map(translate.read, translate.catalogues())
    said = "".join(part for message in catalogue for part in (*message.string,) if message.id)
    assert lacking(font, said) == set()


def test_it_has_names_of_hospitals_and_people(font):
    assert lacking(font, "北京协和醫院 臺大醫院 王喆、陶喆、朱镕基、李堃、α ≥ ½ é → ①") == set()


def test_it_tells_whose_it_is_and_under_which_licence(font):
    assert "Adobe" in font["name"].getDebugName(0)
    assert "SIL Open Font License" in font["name"].getDebugName(13)
    licence = fonts.CHINESE.with_name("OFL.txt").read_text("utf-8")
    assert font["name"].getDebugName(0) in licence
    assert "SIL OPEN FONT LICENSE" in licence


def test_pillow_draws_each_character_as_itself():
    drawn = {bytes(fonts.sized(16).getmask(sign)) for sign in "仅供研究王喆R1\ue000"}
    assert len(drawn) == len("仅供研究王喆R1") + 1  # and a box for what nobody has
