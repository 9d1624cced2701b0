"""What parts say of themselves, for people."""

from __future__ import annotations

from medfed.services.part_list import parts_json


def test_no_part_shows_the_marks_of_its_source():
    said = [part["summary"] for members in parts_json().values() for part in members.values()]
    assert any("SITE/PATIENT/" in summary for summary in said)
    assert [summary for summary in said if "`" in summary or not summary.strip()] == []
