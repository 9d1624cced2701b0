"""What left a hospital, read from the folder of a site that took part in a real run."""

from __future__ import annotations

import json
import os
import shutil

import pytest
from working_sites import worked

from medfed.core.errors import DataError
from medfed.services.hospital import receipts
from medfed.services.hospital.receipts import Receipts
from medfed.services.trouble import Missing


@pytest.fixture
def here(tmp_path) -> Receipts:
    shutil.copytree(worked(), tmp_path / "north")
    return Receipts(tmp_path / "north")


def file_of(here: Receipts):
    (file,) = (here.folder.path / "receipts").glob("*.jsonl")
    return file


def test_what_left_is_told_run_by_run_and_reply_by_reply(here):
    (run,) = here.runs()
    found = here.of_run(run.run)
    assert all(each.good for each in found)
    assert (run.count, run.bad, run.damaged) == (len(found), 0, False)
    assert run.bytes == sum(each.content["bytes"] for each in found) > 0
    assert run.rounds >= 2
    assert {each.content["purpose"] for each in found} == {"query", "train", "evaluate"}
    assert "No patient's record was in it." in found[0].content["sentence"]
    lines = [json.loads(line) for line in here.lines(run.run)]
    assert lines == [each.content for each in found]
    assert list(here.lines()) == list(here.lines(run.run))
    checked = here.verified()
    assert checked.verdict.faults == []
    assert checked.verdict.receipts == run.count


def test_a_receipt_that_was_changed_is_found(here):
    assert here.verified().verdict.faults == []
    file = file_of(here)
    file.write_text(file.read_text().replace('"patients": ', '"patients": 1', 1))
    (run,) = here.runs()
    assert run.bad == 1
    assert [each.good for each in here.of_run(run.run)].count(False) == 1
    assert here.verified().verdict.faults  # it is looked at again, as the file changed


def test_an_edit_of_the_same_length_is_found_also_under_the_old_time(here):
    assert here.verified().verdict.faults == []
    file = file_of(here)
    before, text = file.stat(), file.read_text()
    file.write_text(text.replace("No patient's record", "No patient's rec0rd", 1))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert file.stat().st_size == before.st_size
    assert here.verified().verdict.faults


def test_a_record_that_is_being_written_is_not_called_changed(here, monkeypatch):
    whole = [json.loads(line) for line in here.lines()]
    log = here.folder.path / "audit" / "entries.jsonl"
    text = log.read_text()
    log.write_text("".join(text.splitlines(keepends=True)[:-1]))
    monkeypatch.setattr(receipts.time, "sleep", lambda _: log.write_text(text))  # the worker
    found = here.verified()
    assert (found.verdict.faults, found.writing) == ([], False)
    assert found.verdict.receipts == len(whole)


def test_a_record_that_goes_on_being_written_is_said_to_be_that(here, monkeypatch):
    file = file_of(here)
    file.write_text(file.read_text().replace('"patients": ', '"patients": 1', 1))
    with monkeypatch.context() as patch:
        other = here.folder.path / "receipts" / "other.jsonl"
        times = iter(range(9))
        patch.setattr(receipts.time, "sleep", lambda _: other.write_text("\n" * next(times)))
        assert here.verified().writing
        other.unlink()
    found = here.verified()
    assert found.verdict.faults
    assert not found.writing


WRONG = [
    ("bytes", "many"),
    ("bytes", None),
    ("bytes", 10**400),
    ("round", True),
    ("norm", "x"),
    ("norm", 10**400),
    ("time", 3),
    ("title", []),
    ("sentence", {}),
    ("patients", -1),
]


@pytest.mark.parametrize(("name", "value"), [*WRONG, *((name, ...) for name, _ in WRONG)])
def test_a_receipt_of_another_form_is_damaged(here, name, value):
    file = file_of(here)
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    lines[0][name] = value
    if value is ...:
        del lines[0][name]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(DataError, match="damaged"):
        here.of_run(file.stem)
    assert here.runs()[0].damaged


@pytest.mark.parametrize("text", ["{", "[]", '{"title": 3}', "null"])
def test_a_damaged_file_is_said_to_be_that(here, text):
    file = file_of(here)
    file.write_text(f"{text}\n")
    (run,) = here.runs()
    assert run.damaged
    assert here.verified().verdict.faults


def test_nothing_left_where_nothing_did(tmp_path):
    from medfed.services.sites import create_site

    create_site(tmp_path / "site", "north", None)
    here = Receipts(tmp_path / "site")
    assert here.runs() == []
    assert list(here.lines()) == []
    assert here.verified().verdict.entries == 0
    for run in ("none", "../x", ""):
        with pytest.raises(Missing):
            here.of_run(run)


def test_a_cut_line_of_a_crash_is_left_out_and_a_damaged_one_complained_of(here):
    file = file_of(here)
    whole = here.runs()[0].count
    with file.open("a") as more:
        more.write('{"cut')
    assert here.runs()[0].count == whole
    with file.open("a") as more:
        more.write("\n")
    with pytest.raises(DataError, match="damaged"):
        here.of_run(file.stem)
