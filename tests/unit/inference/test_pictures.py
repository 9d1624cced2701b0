"""Pictures of findings are looked at by people of any language: they hold marks, no words."""

from __future__ import annotations

import io
import re

import numpy as np
from PIL import Image
from unit.inference.test_predictor import predictor
from unit.inference.threshold import thorax

from medfed.inference import pictures

MARK = re.compile(r"[RLAPHF]|\d+|\d+ / \d+|\d+ mm|")


def test_only_sides_and_numbers_are_drawn_into_pictures(monkeypatch):
    drawn: list[str] = []
    write = pictures._write

    def noted(draw, place, text, *more, **given) -> None:
        drawn.append(text)
        write(draw, place, text, *more, **given)

    monkeypatch.setattr(pictures, "_write", noted)
    volume = thorax([(62, 10, 60)])
    found = predictor(250.0).predict(volume)
    standing, labels = found.turn.volume(volume), found.turn.view(found.labels)
    pictures.overview(standing, labels, found.findings[0].upright_zyx)
    pictures.of_finding(standing, labels, found.findings[0])
    assert {"R", "H", "1", "10 mm"} <= set(drawn)
    assert [text for text in drawn if not MARK.fullmatch(text)] == []


def test_only_the_line_below_is_said_again_in_another_language():
    volume = thorax([(62, 10, 60)])
    found = predictor(250.0).predict(volume)
    standing, labels = found.turn.volume(volume), found.turn.view(found.labels)
    once = pictures.of_finding(standing, labels, found.findings[0], "Research use only")
    again = pictures.said_below(once, "仅供研究使用")
    first, second = pixels(once), pixels(again)
    assert (first[: -pictures.LINE] == second[: -pictures.LINE]).all()
    assert (first[-pictures.LINE :] != second[-pictures.LINE :]).any()
    assert pictures.said_below(again, "Research use only") == once


def pixels(picture: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(picture)))
