"""The source ``csv``, conditions on columns, and what bad files are answered with."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medfed.connectors.csv_table import CsvTable
from medfed.connectors.tables import Table, matching
from medfed.core.conditions import Condition
from medfed.core.data import SiteData
from medfed.core.errors import DataError, PartError, StudyError
from medfed.core.registry import Part, make
from medfed.core.split import HashSplit
from medfed.tasks.columns import category_keys

PLAIN = "id,age,sex,ill\nA,60,F,1\nB,?,M,0\nA,61,F,1\nC,40,,0\n"


def opened(folder: Path, text: str | bytes = PLAIN, **options: Any) -> Table:
    content = text if isinstance(text, bytes) else text.encode()
    (folder / "north.csv").write_bytes(content)
    return CsvTable(**options).open(folder, "north", ["north"])


def complaint(folder: Path, text: str | bytes = PLAIN, **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        opened(folder, text, **options)
    assert caught.value.remedy
    return str(caught.value)


def test_each_row_is_a_patient_unless_a_column_says_otherwise(tmp_path):
    assert opened(tmp_path).patients() == ["row-1", "row-2", "row-3", "row-4"]
    table = opened(tmp_path, patient="id")
    assert table.patients() == ["A", "B", "C"]
    assert "id" not in table.load(["A"]).columns


def test_rows_of_a_patient_come_together_in_the_order_asked_for(tmp_path):
    frame = opened(tmp_path, patient="id").load(["C", "A"])
    assert list(frame.index) == ["C", "A", "A"]
    assert list(frame["age"]) == [40, 60, 61]
    assert len(opened(tmp_path).load([])) == 0


def test_a_patient_never_falls_on_both_sides_of_a_split(tmp_path):
    rows = "".join(f"P{i % 20},{i}\n" for i in range(100))
    table = opened(tmp_path, f"id,x\n{rows}", patient="id")
    data = SiteData.split("north", table, HashSplit(test=0.3), seed=1)
    train, test = data.load("train"), data.load("test")
    assert len(train) + len(test) == 100
    assert not set(train.index) & set(test.index)


def test_identifiers_that_look_like_numbers_stay_text(tmp_path):
    assert opened(tmp_path, "id,x\n007,1\n7,2\n", patient="id").patients() == ["007", "7"]


@pytest.mark.parametrize("odd", ["unknown", "True", "2.50", "12345678901234567890"])
@pytest.mark.parametrize(
    ("cells", "options"),
    [
        (("True", "False", "True"), {}),
        (("0.0", "1.0", "0.1234567890123456789"), {}),
        (("1", "00", "9007199254740993"), {}),
        (("1,0", "0,5", "-9,0"), {"separator": ";", "decimal": ",", "missing": ("-9",)}),
        (("TRUE", "0", "F"), {}),
    ],
)
def test_one_odd_patient_leaves_the_categories_of_all_others_alone(tmp_path, cells, options, odd):
    """Else one row, which makes a column text, would move every patient of the site."""
    text = "id;x\n" if options else "id,x\n"
    comma = options.get("separator", ",")
    rows = "".join(f"P{i}{comma}{cell}\n" for i, cell in enumerate(cells))
    others = opened(tmp_path, text + rows, patient="id", **options).frame["x"]
    odd = odd.replace(".", options.get("decimal", "."))
    with_it = opened(tmp_path, f"{text}{rows}P9{comma}{odd}\n", patient="id", **options).frame["x"]
    assert list(category_keys(with_it)[:-1]) == list(category_keys(others))


def test_numbers_are_floats_at_every_site_and_gaps_are_missing(tmp_path):
    frame = opened(tmp_path).frame
    assert frame["age"].dtype == frame["ill"].dtype == np.float64
    assert list(frame["age"].isna()) == [False, True, False, False]
    assert list(frame["sex"].isna()) == [False, False, False, True]
    truth = opened(tmp_path, "a,b\nTrue,True\nFalse,\n").frame
    assert truth["a"].tolist() == [1.0, 0.0]
    assert truth["b"].dtype == np.float64


def test_names_may_come_from_the_study(tmp_path):
    table = opened(tmp_path, "1,2\n3,4\n", columns=("a", "b"))
    assert table.frame["b"].tolist() == [2, 4]


def test_exports_of_european_spreadsheets_are_read(tmp_path):
    text = "\ufeffage;weight\n50;70,5\n51;NA\n"
    frame = opened(tmp_path, text, separator=";", decimal=",").frame
    assert frame["age"].tolist() == [50, 51]
    assert frame["weight"].tolist()[0] == 70.5


def test_incomplete_rows_and_columns_can_be_left_out(tmp_path):
    table = opened(tmp_path, drop=("id",), drop_incomplete=("age",), stratify="ill")
    assert table.patients() == ["row-1", "row-3", "row-4"]
    assert table.strata() == ["1.0", "1.0", "0.0"]
    assert list(table.frame.columns) == ["age", "sex", "ill"]


def test_strata_follow_a_condition_and_go_by_patient(tmp_path):
    assert opened(tmp_path).strata() is None
    assert opened(tmp_path, stratify="age >= 60").strata() == ["True", "False", "True", "False"]
    assert opened(tmp_path, stratify="sex", patient="id").strata() == ["F", "M", ""]


def test_the_registry_makes_it_with_its_options(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "north.csv").write_text(PLAIN)
    source = make("source", Part("csv", {"file": "a/{site}.csv"}))
    assert len(source.open(tmp_path, "north", ["north"]).patients()) == 4


@pytest.mark.parametrize("file", ["../x.csv", "/etc/passwd", "a/../../x", "", "C:\\x.csv", "..\\x"])
def test_a_path_out_of_the_folder_is_refused_when_the_study_is_read(file):
    with pytest.raises(PartError, match="leads out"):
        CsvTable(file=file)


def test_a_separator_cannot_be_the_decimal_sign_too():
    with pytest.raises(PartError, match="decimal"):
        CsvTable(decimal=",")


def test_a_link_out_of_the_folder_is_refused(tmp_path):
    inside = tmp_path / "inside"
    inside.mkdir()
    (tmp_path / "secret.csv").write_text(PLAIN)
    (inside / "north.csv").symlink_to(tmp_path / "secret.csv")
    with pytest.raises(DataError, match="leads out"):
        CsvTable().open(inside, "north", ["north"])


def test_missing_folders_and_files_are_named(tmp_path):
    with pytest.raises(DataError, match="--data"):
        CsvTable().open(None, "north", ["north"])
    with pytest.raises(DataError, match="no data folder"):
        CsvTable().open(tmp_path / "nowhere", "north", ["north"])
    with pytest.raises(DataError, match=r"no file north\.csv"):
        CsvTable().open(tmp_path, "north", ["north"])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"name,x\nM\xfcller,1\n", "not UTF-8"),
        ("", "is empty"),
        ("a,b\n", "has no rows"),
        ("a,b\n\n\n", "has no rows"),
        ("a,b\n1,2\nSmith,3,4\n", "line 3 of north.csv has 3 values for 2 columns"),
        ("a,b\n1,2\nSmith\n", "line 3 of north.csv has 1 values for 2 columns"),
        ("a,a\n1,2\n", "two columns of the same name"),
        ("a,,b\n1,2,3\n", "without a name"),
        ("a,b\n?,NA\n,?\n", "everything in it is missing"),
        ("a,b\n1,2\n1,inf\n", 'north.csv: column "b" holds infinite numbers, the first in row 2'),
        ("a;b\n1;2\n", "has one column only, and its first line is divided by ';'"),
    ],
)
def test_bad_files_are_answered_without_quoting_a_value(tmp_path, text, says):
    answer = complaint(tmp_path, text)
    assert says in answer
    assert "Smith" not in answer
    assert "ller" not in answer


def test_options_that_do_not_fit_the_table_are_named(tmp_path):
    assert 'no column "who"' in complaint(tmp_path, patient="who")
    assert 'no column "who"' in complaint(tmp_path, drop=("who",))
    assert 'no column "who"' in complaint(tmp_path, drop_incomplete=("who",))
    assert 'no column "who"' in complaint(tmp_path, stratify="who")
    assert "does not say whose" in complaint(tmp_path, patient="sex")
    assert "no complete row" in complaint(tmp_path, "a,b\n1,\n2,\n", drop_incomplete=("b",))


def test_a_patient_who_is_not_there_is_not_quoted(tmp_path):
    with pytest.raises(DataError, match="changed") as caught:
        opened(tmp_path).load(["Smith"])
    assert "Smith" not in str(caught.value)


@pytest.mark.parametrize(
    ("condition", "rows"),
    [
        ("age >= 60", [0, 2]),
        ("age < 61", [0, 3]),
        ("age!=60", [2, 3]),
        ("age = 60.0", [0]),
        ("`age` == 4e1", [3]),
        ("age is missing", [1]),
        ("age is  not missing", [0, 2, 3]),
        ('sex = "F"', [0, 2]),
        ("sex = 'M'", [1]),
        ("sex != M", [0, 2]),
        ("ill > -1", [0, 1, 2, 3]),
    ],
)
def test_conditions_select_rows_and_a_gap_meets_none(tmp_path, condition, rows):
    assert np.flatnonzero(matching(opened(tmp_path).frame, [condition])).tolist() == rows


def test_all_conditions_must_hold_and_patients_without_rows_are_gone(tmp_path):
    table = opened(tmp_path, patient="id", stratify="ill").select(["age >= 50", "sex = F"])
    assert table.patients() == ["A"]
    assert table.strata() == ["1.0"]
    assert opened(tmp_path).select([]).patients() == opened(tmp_path).patients()


@pytest.mark.parametrize(
    "text",
    ["", "age", "age >=", ">= 3", "age >= 3 or 1 = 1", "age like x", "__import__('os')", "a = b c"],
)
def test_anything_else_is_no_condition(text):
    with pytest.raises(StudyError, match="is not a condition"):
        Condition.parse(text)


def test_comparing_numbers_with_text_is_refused(tmp_path):
    frame = opened(tmp_path).frame
    with pytest.raises(DataError, match="holds numbers"):
        matching(frame, ["age = old"])
    with pytest.raises(DataError, match="holds text"):
        matching(frame, ["sex > 1"])
    with pytest.raises(DataError, match='no column "height"'):
        matching(frame, ["height > 1"])
