"""The report of a signed review, in the language of whoever signed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from clinics import Clinic
from reportlab.platypus import Paragraph, Table
from unit.inference.threshold import GUIDELINE

from medfed.services.inference import pdf
from medfed.storage.database.tables import JobRow
from medfed.web import inference_words


def texts(flowables: list[Any]) -> Iterator[str]:
    """What paragraphs say, also in the cells of tables."""
    for each in flowables:
        if isinstance(each, Paragraph):
            yield each.getPlainText()
        elif isinstance(each, Table):
            for row in each._cellvalues:
                yield from texts([cell for cell in row if isinstance(cell, Paragraph)])


def signed_in(clinic: Clinic, language: str) -> str:
    """Sign on the page in a language; what the report says."""
    inference = clinic.looked()
    client = clinic.stage.client("clinician")
    clinic.stage.post(client, "/language", language=language)
    for number in (1, 2, 3):
        verdict = "rejected" if number == 1 else "accepted"
        last = clinic.desk.reviews.judge(clinic.who(), inference, number, verdict).id
    clinic.stage.post(client, f"/inference/{inference}/sign", last=last)
    assert clinic.do(inference) == "finished"
    row = clinic.desk.inferences.find(inference)
    with clinic.stage.console.database.read() as session:
        words = session.get_one(JobRow, row.job).options["words"]
    path, _ = clinic.desk.inferences.file(inference, "reviewed", "reviewed.json")
    sheet = pdf._Sheet(json.loads(path.read_bytes()), 400.0, words)
    return "\n".join(texts([*sheet.head(), *sheet.table(), *sheet.facts()]))


def test_it_speaks_as_the_page_on_which_it_was_signed(clinic: Clinic):
    english = signed_in(clinic, "en")
    assert "Reviewed and signed by" in english
    assert "rejected" in english
    assert f"Read it with: {GUIDELINE['title']}, {GUIDELINE['url']}" in english
    chinese = signed_in(clinic, "zh_Hans_CN")
    for words in ("胸部 CT 肺结节", "审阅并签署", "仅供研究使用", "肺"):
        assert words in chinese
    for words in ("Reviewed", "rejected", "accepted", "Findings", "Verdict", "SHA-256 of", "lung"):
        assert words not in chinese


def test_chinese_is_in_the_file_and_not_left_to_the_readers_fonts(clinic: Clinic):
    signed_in(clinic, "zh_Hans_CN")
    inference = clinic.desk.inferences.list()[0][0].id
    path, _ = clinic.desk.inferences.file(inference, "reviewed", "report.pdf")
    written = path.read_bytes()
    assert b"+NotoSansCJKsc" in written
    assert b"/FontFile2" in written
    assert b"STSong" not in written


def test_a_character_is_written_in_a_font_that_has_it():
    marked = pdf._marked("CT <é> 王喆 ≥ 𠮷", pdf._fonts())
    assert marked == (
        'CT &lt;é&gt; <font name="medfed Chinese">王喆</font> '
        '<font name="medfed Chinese">≥</font> <font name="STSong-Light">𠮷</font>'
    )


def test_every_sentence_of_it_can_be_said_in_another_language():
    assert set(pdf.SENTENCES) == set(inference_words.REPORT)
