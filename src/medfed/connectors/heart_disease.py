"""The source ``heart-disease``: the UCI heart disease data of four real hospitals.

Detrano et al., American Journal of Cardiology 64 (1989); https://doi.org/10.24432/C52P4X. The
variant ``flamby`` follows FLamby (du Terrail et al., NeurIPS 2022): without the columns that most
hospitals lack, and without the patients who lack any other value; chest pain and ECG come once
more as the indicators ``cp_2`` … ``restecg_2``, which FLamby standardises like measurements.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar

import pandas as pd

from medfed.connectors.csv_table import by_patient, complete_rows, read_table
from medfed.connectors.fetch import HEART_DISEASE, RemoteFile, is_intact
from medfed.connectors.tables import Table
from medfed.core.data import TABLE
from medfed.core.errors import DataError
from medfed.core.options import option

COLUMNS = (
    "age",  # years
    "sex",  # 1 male, 0 female
    "cp",  # chest pain: 1 typical angina, 2 atypical, 3 not angina, 4 none
    "trestbps",  # resting blood pressure, mm Hg
    "chol",  # serum cholesterol, mg/dL
    "fbs",  # fasting blood sugar above 120 mg/dl
    "restecg",  # resting ECG: 0 normal, 1 ST-T abnormality, 2 hypertrophy
    "thalach",  # highest heart rate, beats/min
    "exang",  # angina under exercise
    "oldpeak",  # ST depression by exercise, mm
    "slope",  # of the ST segment: 1 up, 2 flat, 3 down
    "ca",  # vessels coloured by fluoroscopy, 0 to 3
    "thal",  # 3 normal, 6 fixed defect, 7 reversible defect
    "num",  # the diagnosis: 0 none, 1 to 4 more than half a vessel's diameter narrowed
)
RARELY_KNOWN = ("slope", "ca", "thal")
NEVER_ZERO = ("trestbps", "chol")
INDICATORS: Mapping[str, tuple[int, ...]] = MappingProxyType({"cp": (2, 3, 4), "restecg": (1, 2)})
"""Columns of which the variant ``flamby`` has indicators, and the values these stand for."""
PATIENTS: Mapping[str, int] = MappingProxyType(
    {"cleveland": 303, "hungarian": 294, "switzerland": 123, "va": 200}
)
"""The hospitals, by their names as sites, and how many patients each has."""

FOLDERS = ("", "heart-disease-uci", "heart-disease")


@dataclass(frozen=True)
class HeartDisease:
    """Heart disease at the hospitals cleveland, hungarian, switzerland and va (UCI archive)."""

    gives: ClassVar[str] = TABLE

    variant: str = option(
        "full",
        help="full: 13 features, gaps kept; flamby: without slope, ca, thal and incomplete rows",
        choices=("full", "flamby"),
    )
    zeros: str = option(
        "auto",
        help="A cholesterol or blood pressure of 0 means unknown: missing, or keep the number as "
        "FLamby does; auto: missing in full, keep in flamby",
        choices=("auto", "missing", "keep"),
    )

    def open(self, root: Path | None, site: str, sites: Sequence[str]) -> Table:
        """Read one hospital's file; see `medfed.core.data.SourceOpener`.

        Raises:
            DataError: No such hospital, no data, or a file that is not the published one.
        """
        if site not in PATIENTS:
            message = f'the heart disease data have no hospital "{site}"'
            raise DataError(message, remedy=f"Name sites among {', '.join(PATIENTS)}")
        frame = read_table(_find(root, site), columns=COLUMNS, missing=("?",))
        frame = by_patient(frame)
        if self.variant == "flamby":
            frame = frame.drop(columns=list(RARELY_KNOWN))
            frame = _with_indicators(frame[complete_rows(frame, list(frame.columns))])
        if self.zeros == "missing" or (self.zeros == "auto" and self.variant == "full"):
            frame = _zeros_as_missing(frame)
        return Table(frame, list(frame["num"] > 0))


def _with_indicators(frame: pd.DataFrame) -> pd.DataFrame:
    hot = {
        f"{column}_{value}": (frame[column] == value).astype("float64")
        for column, values in INDICATORS.items()
        for value in values
    }
    return frame.assign(**hot)


def _zeros_as_missing(frame: pd.DataFrame) -> pd.DataFrame:
    known = {column: frame[column].where(frame[column] != 0) for column in NEVER_ZERO}
    return frame.assign(**known)


def _find(root: Path | None, site: str) -> Path:
    name = f"processed.{site}.data"
    paths = [root / folder / name for folder in FOLDERS] if root else []
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        place = f"in {root}" if root else "because no data folder was given"
        remedy = (
            "Run `medfed data fetch heart-disease`, or point --data DIR or MEDFED_DATA to a "
            "folder that has it; examples/breast_cancer.toml needs no data"
        )
        raise DataError(f"the heart disease data were not found {place}", remedy=remedy)
    _check(path, next(file for file in HEART_DISEASE.files if file.name == name), PATIENTS[site])
    return path


def _check(path: Path, file: RemoteFile, patients: int) -> None:
    try:
        if is_intact(path, file):
            return
        with path.open("rb") as lines:
            rows = sum(1 for line in lines if line.strip())
    except OSError as error:
        message = f"{path} cannot be read ({error.strerror})"
        raise DataError(message, remedy="Check the file and its permissions") from None
    what = f": {rows} rows instead of {patients}" if rows != patients else ""
    message = f"{path} was altered, it is not the file that UCI published{what}"
    remedy = (
        "Take it away and run `medfed data fetch heart-disease`; "
        "for a table of your own use the source csv"
    )
    raise DataError(message, remedy=remedy)
