"""The source ``heart-disease``, on the real files where they are, on made ones otherwise."""

import hashlib
from pathlib import Path

import pytest

from medfed.connectors import heart_disease
from medfed.connectors.fetch import DataSet, RemoteFile
from medfed.connectors.heart_disease import PATIENTS, HeartDisease
from medfed.core.errors import DataError

SITES = tuple(PATIENTS)
ROWS = (
    "63.0,1.0,1.0,145.0,233.0,1.0,2.0,150.0,0.0,2.3,3.0,0.0,6.0,0\n"
    "32,1,1,95,0,?,0,127,0,.7,1,?,?,1\n"
    "38,0,4,105,0,0,0,166,0,2.8,1,?,?,2\n"
)


@pytest.fixture
def real_data(need) -> Path:
    """The folder that holds the four hospitals' files."""
    return need("heart-disease-uci").parent


@pytest.fixture
def made(tmp_path, monkeypatch) -> Path:
    """Three patients who stand for Cleveland."""
    path = tmp_path / "heart-disease" / "processed.cleveland.data"
    path.parent.mkdir()
    path.write_text(ROWS)
    file = RemoteFile(path.name, len(ROWS), hashlib.sha256(ROWS.encode()).hexdigest())
    known = DataSet("heart-disease", "", "", "", "", "", (file,))
    monkeypatch.setattr(heart_disease, "HEART_DISEASE", known)
    return tmp_path


@pytest.mark.parametrize("site", SITES)
def test_all_patients_of_the_four_hospitals_are_read(site, real_data):
    table = HeartDisease().open(real_data, site, SITES)
    assert len(table.patients()) == PATIENTS[site]
    assert list(table.frame.columns) == list(heart_disease.COLUMNS)
    assert not (table.frame[["chol", "trestbps"]] == 0).any(axis=None)


@pytest.mark.parametrize(
    ("site", "patients"), [("cleveland", 303), ("hungarian", 261), ("switzerland", 46), ("va", 130)]
)
def test_the_variant_of_flamby_has_its_patients(site, patients, real_data):
    table = HeartDisease(variant="flamby").open(real_data, site, SITES)
    assert len(table.patients()) == patients
    indicators = ["cp_2", "cp_3", "cp_4", "restecg_1", "restecg_2"]
    assert list(table.frame.columns) == [*heart_disease.COLUMNS[:10], "num", *indicators]
    hot = table.frame[["cp_2", "cp_3", "cp_4"]].sum(axis=1)
    assert hot.tolist() == (table.frame["cp"] > 1).tolist()
    assert not table.frame.isna().any(axis=None)


def test_an_unknown_cholesterol_is_a_gap_or_a_zero(made):
    def cholesterol(**options: str) -> list[float]:
        table = HeartDisease(**options).open(made, "cleveland", SITES)
        return table.frame["chol"].fillna(-1).tolist()

    assert cholesterol() == [233, -1, -1]
    assert cholesterol(zeros="keep") == [233, 0, 0]
    assert cholesterol(variant="flamby") == [233, 0]
    assert cholesterol(variant="flamby", zeros="missing") == [233, -1]


def test_splits_are_balanced_by_whether_there_is_disease(made):
    assert HeartDisease().open(made, "cleveland", SITES).strata() == ["False", "True", "True"]


def test_the_data_may_lie_in_the_folder_itself(made):
    folder = made / "heart-disease"
    assert len(HeartDisease().open(folder, "cleveland", SITES).patients()) == 3


def test_without_data_the_way_to_them_is_named(tmp_path):
    for root in (None, tmp_path, tmp_path / "nowhere"):
        with pytest.raises(DataError) as caught:
            HeartDisease().open(root, "va", SITES)
        for way in ("medfed data fetch", "--data", "MEDFED_DATA", "examples/breast_cancer.toml"):
            assert way in caught.value.remedy


def test_an_altered_file_is_refused(made):
    path = made / "heart-disease" / "processed.cleveland.data"
    path.write_text(ROWS.replace("63.0", "64.0"))
    with pytest.raises(DataError, match="was altered"):
        HeartDisease().open(made, "cleveland", SITES)
    path.write_text(ROWS + ROWS)
    with pytest.raises(DataError, match="6 rows instead of 303") as caught:
        HeartDisease().open(made, "cleveland", SITES)
    assert "medfed data fetch" in caught.value.remedy


def test_another_hospital_is_not_in_the_data(made):
    with pytest.raises(DataError, match='no hospital "berlin"'):
        HeartDisease().open(made, "berlin", SITES)
