"""Data that cannot be used: a sentence says so, holds no patient's value, and nothing is lost."""

import json

import numpy as np
import pytest

from medfed.core.errors import DataError, QuorumError
from medfed.core.study_file import parse_study
from medfed.services.runs import RunOptions, start

SITES = ("north", "centre", "south")
SECRET = "SECRET-7391"

STUDY = """
title = "Tables"
sites = ["north", "centre", "south"]
rounds = 2
min_sites = {min_sites}
source = {{ name = "csv", file = "{{site}}.csv" }}
split = {{ name = "hash", test = {test} }}
strategy = {{ name = "fedavg" }}
[task]
name = "tabular-classification"
target = "y"
positive = "> 0"
numeric = ["a", "b"]
"""


@pytest.fixture
def tables(tmp_path):
    """Three hospitals' tables, and a way to spoil one of them."""
    folder = tmp_path / "data"
    folder.mkdir()

    def write(site, change=lambda rows: rows):
        rng = np.random.default_rng(sum(site.encode()))
        rows = [[f"{a:.3f}", f"{b:.3f}", str(int(a + b > 0))] for a, b in rng.normal(size=(60, 2))]
        lines = ["a,b,y", *(",".join(row) for row in change(rows))]
        (folder / f"{site}.csv").write_text("\n".join(lines) + "\n")

    for site in SITES:
        write(site)
    write.folder = folder
    return write


def run(tables, tmp_path, min_sites=2, test=0.3):
    study = parse_study(STUDY.format(min_sites=min_sites, test=test))
    return start(study, RunOptions(out=tmp_path / "run", data=tables.folder, report=False))


def missing_reasons(tmp_path):
    rows = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    return {site: m for row in map(json.loads, rows) for site, m in row.get("missing", {}).items()}


def spoiled(index, value):
    """Put a value into one column of the fourth row."""

    def change(rows):
        rows[3][index] = value
        return rows

    return change


def one_label(rows):
    return [[a, b, "1"] for a, b, _ in rows]


def test_a_one_class_site_is_left_out_by_name_and_the_others_go_on(tables, tmp_path):
    tables("south", one_label)
    result = run(tables, tmp_path)
    assert set(result["metrics"]["sites"]) == {"north", "centre"}
    assert missing_reasons(tmp_path)["south"]["reason"] == "one-class"


def test_without_enough_sites_the_run_stops_and_says_why(tables, tmp_path):
    tables("south", one_label)
    with pytest.raises(QuorumError, match="one-class") as stopped:
        run(tables, tmp_path, min_sites=3)
    assert "--resume" in stopped.value.remedy


@pytest.mark.parametrize(("index", "value"), [(0, SECRET), (2, SECRET)])
def test_values_that_are_no_numbers_are_refused_and_never_shown(tables, tmp_path, index, value):
    tables("south", spoiled(index, value))
    result = run(tables, tmp_path)
    found = missing_reasons(tmp_path)
    assert found["south"]["reason"] == "no-data"
    assert "south" not in result["metrics"]["sites"]
    left = [f for f in (tmp_path / "run").rglob("*") if f.is_file() and f.name != "site.log"]
    assert not any(SECRET.encode() in file.read_bytes() for file in left)


def test_infinite_numbers_are_refused_before_anything_is_made(tables, tmp_path):
    tables("south", spoiled(1, "inf"))
    with pytest.raises(DataError, match='column "b"'):
        run(tables, tmp_path)
    assert not (tmp_path / "run").exists()


def test_gaps_are_filled_from_all_sites(tables, tmp_path):
    tables("south", spoiled(0, ""))
    assert set(run(tables, tmp_path)["metrics"]["sites"]) == set(SITES)


def test_a_missing_table_is_named_before_anything_is_made(tables, tmp_path):
    (tables.folder / "centre.csv").unlink()
    with pytest.raises(DataError, match=r"centre\.csv"):
        run(tables, tmp_path)
    assert not (tmp_path / "run").exists()


def test_a_split_that_leaves_no_test_patients_still_ends(tables, tmp_path):
    tables("south", lambda rows: rows[:2])
    result = run(tables, tmp_path, test=0.05)
    assert result["rounds"] == 2
