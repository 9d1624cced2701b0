"""The source ``csv``: one text file with a table for each site."""

import csv
import json
import math
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from medfed.connectors.tables import Table, no_column, strata_by
from medfed.core.data import TABLE
from medfed.core.errors import DataError, PartError, Problem
from medfed.core.no_pickles import unpickling_refused
from medfed.core.options import option
from medfed.core.private_files import binary
from medfed.core.private_files import text as opened_text

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
ENCODING = "utf-8-sig"  # UTF-8; a byte-order mark, which Excel writes, is skipped


@dataclass(frozen=True)
class CsvTable:
    """Tables in text files: one row a patient, or several where a column says whose they are."""

    gives: ClassVar[str] = TABLE

    file: str = option(
        "{site}.csv", help='The file inside the site\'s folder; "{site}" is its name'
    )
    columns: tuple[str, ...] = option((), help="Names of the columns, if the file has no header")
    missing: tuple[str, ...] = option(("", "?", "NA"), help="What stands for a missing value")
    patient: str = option("", help="Column that identifies patients; each row is one if silent")
    drop: tuple[str, ...] = option((), help="Columns to leave out")
    drop_incomplete: tuple[str, ...] = option((), help="Drop rows with a gap in these columns")
    stratify: str = option("", help='Column or condition ("num > 0") that splits keep in balance')
    separator: str = option(
        ",", help="What stands between two values", choices=(",", ";", "\t", "|")
    )
    decimal: str = option(".", help="The decimal sign", choices=(".", ","))

    def __post_init__(self) -> None:
        name = self.file.replace("{site}", "site")
        parts = (*PurePosixPath(name).parts, *PureWindowsPath(name).parts)
        rooted = PurePosixPath(name).is_absolute() or PureWindowsPath(name).anchor
        if rooted or not parts or ".." in parts:
            remedy = 'Give a path inside the site\'s data folder, such as "{site}.csv"'
            problem = Problem("source.file", "leads out of the site's data folder", remedy)
            raise PartError("the csv source cannot be used as given", [problem])
        if self.separator == self.decimal:
            remedy = 'Write separator = ";"'
            problem = Problem("source.separator", "is also the decimal sign", remedy)
            raise PartError("the csv source cannot be used as given", [problem])

    def open(self, root: Path | None, site: str, sites: Sequence[str]) -> Table:
        """Read the site's file; see `medfed.core.data.SourceOpener`."""
        path = find_inside(root, self.file.replace("{site}", site))
        frame = read_table(
            path,
            columns=self.columns,
            missing=self.missing,
            text=(self.patient,) if self.patient else (),
            separator=self.separator,
            decimal=self.decimal,
        )
        frame = by_patient(frame, self.patient)
        labels = strata_by(frame, self.stratify)
        complete = complete_rows(frame, self.drop_incomplete)
        for column in self.drop:
            if column not in frame.columns:
                raise no_column(column, frame)
        kept = frame[complete].drop(columns=list(self.drop))
        if kept.empty:
            message = f"{path.name} has no complete row in the columns of drop_incomplete"
            raise DataError(message, remedy="Shorten drop_incomplete, and impute instead")
        return Table(kept, None if labels is None else list(_picked(labels, complete)))


def find_inside(root: Path | None, name: str) -> Path:
    """The path of a file that must lie inside a site's folder, links followed.

    Raises:
        DataError: There is no such folder or file, or a link leads out of the folder.
    """
    if root is None:
        message = "this study reads files, and no data folder was given"
        raise DataError(message, remedy="Give --data DIR or set MEDFED_DATA")
    if not root.is_dir():
        message = f"there is no data folder {root}"
        raise DataError(message, remedy="Check --data or MEDFED_DATA")
    path = root / name
    if not path.is_file():
        message = f"there is no file {name} in {root}"
        raise DataError(message, remedy="Put it there, or change file in [source]")
    if not path.resolve().is_relative_to(root.resolve()):
        message = f"{name} leads out of the data folder {root}"
        raise DataError(message, remedy="Put the file itself there, not a link")
    return path


@unpickling_refused()
def read_table(
    path: Path,
    *,
    columns: Sequence[str] = (),
    missing: Sequence[str] = ("", "?", "NA"),
    text: Sequence[str] = (),
    separator: str = ",",
    decimal: str = ".",
) -> pd.DataFrame:
    """Read a text file with a table; numbers become floats, everything else stays text.

    Args:
        path: The file, in UTF-8.
        columns: Names of the columns, if the file has no header.
        missing: What stands for a missing value.
        text: Columns to keep as text even where they look like numbers.
        separator: What stands between two values.
        decimal: The decimal sign.

    Raises:
        DataError: The file cannot be read, or is no table. The message never quotes a value.
    """
    names = _check_shape(path, columns, separator)
    try:
        frame = pd.read_csv(
            binary(path),
            names=names,
            header=None if columns else 0,
            index_col=False,
            na_values=list(missing),
            keep_default_na=False,
            dtype=dict.fromkeys(text, "str"),
            sep=separator,
            decimal=decimal,
            skipinitialspace=True,
            encoding=ENCODING,
            low_memory=False,
        )
    except (ValueError, OSError) as error:  # pandas' own errors are ValueErrors
        kind = type(error).__name__
        message = f"{path.name} cannot be read as a table ({kind})"
        raise DataError(message, remedy="Check separator, decimal and missing") from None
    if frame.isna().all(axis=None):
        message = f"{path.name} has no value at all: everything in it is missing"
        raise DataError(message, remedy="Check separator, columns and missing")
    gaps = {float(one) for one in missing if _NUMBER.fullmatch(one)}
    try:
        plain = {name: _plain(frame[name], decimal, gaps) for name in names if name not in text}
    except DataError as error:
        raise DataError(f"{path.name}: {error.message}", remedy=error.remedy) from None
    return frame.assign(**plain)


def by_patient(frame: pd.DataFrame, patient: str = "") -> pd.DataFrame:
    """Index a table by patient.

    Args:
        frame: A table.
        patient: The column that identifies patients, which is taken out; without one each row
            is a patient, called ``row-1``, ``row-2``, …

    Raises:
        DataError: There is no such column, or it has gaps.
    """
    if not patient:
        names = [f"row-{number}" for number in range(1, len(frame) + 1)]
        return frame.set_axis(pd.Index(names, name="patient"), axis=0)
    if patient not in frame.columns:
        raise no_column(patient, frame)
    gaps = int(frame[patient].isna().sum())
    if gaps:
        message = f'column "{patient}" does not say whose row it is, {gaps} times'
        raise DataError(message, remedy="Fill in the patient, or take these rows out")
    return frame.set_index(patient).rename_axis("patient")


def complete_rows(frame: pd.DataFrame, columns: Sequence[str]) -> Any:
    """A mask of the rows without a gap in some columns."""
    for column in columns:
        if column not in frame.columns:
            raise no_column(column, frame)
    return frame[list(columns)].notna().all(axis=1).to_numpy(dtype=np.bool_)


def _picked(labels: Sequence[Any], mask: Any) -> list[Any]:
    return [label for label, keep in zip(labels, mask, strict=True) if keep]


def _check_shape(path: Path, columns: Sequence[str], separator: str) -> list[str]:
    """The columns' names, once every row is known to have one value for each of them."""
    try:
        with opened_text(path, ENCODING) as file:
            lines = csv.reader(file, delimiter=separator, skipinitialspace=True)
            names = list(columns) or [name.strip() for name in next(lines, [])]
            _check_names(path, names)
            rows = 0
            for row in lines:
                if row and len(row) != len(names):
                    where = f"line {lines.line_num} of {path.name}"
                    message = f"{where} has {len(row)} values for {len(names)} columns"
                    raise DataError(message, remedy="Mend the line, or check separator")
                rows += bool(row)
    except UnicodeDecodeError:
        message = f"{path.name} is not UTF-8 text"
        raise DataError(message, remedy='Save it again as "CSV UTF-8"') from None
    except (csv.Error, OSError) as error:
        message = f"{path.name} cannot be read as a table ({type(error).__name__})"
        raise DataError(message, remedy="Check the file and its permissions") from None
    if rows == 0:
        raise DataError(f"{path.name} has no rows", remedy="Export the data again")
    return names


def _check_names(path: Path, names: Sequence[str]) -> None:
    if not names:
        raise DataError(f"{path.name} is empty", remedy="Export the data again")
    if not all(names):
        message = f"{path.name} has a column without a name"
        raise DataError(message, remedy="Name every column in the first line, or set columns")
    if len(names) == 1 and (found := next((s for s in ";\t|" if s in names[0]), "")):
        message = f"{path.name} has one column only, and its first line is divided by {found!r}"
        raise DataError(message, remedy=f"Write separator = {json.dumps(found)} in [source]")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        # Without a header the first line holds values of a patient: they are not quoted.
        message = f"{path.name} has two columns of the same name"
        remedy = "Rename one; if the file has no header line, set columns in [source]"
        raise DataError(message, remedy=remedy)


def _plain(column: "pd.Series[Any]", decimal: str, gaps: Collection[float]) -> "pd.Series[Any]":
    """Numbers and truth values as floats; all else as text, each cell by itself."""
    numeric = pd.api.types.is_numeric_dtype(column.dtype) or column.isna().all()
    truth = all(isinstance(value, bool) for value in column.dropna())
    if not numeric and not truth:
        return column.map(lambda cell: _cell(str(cell), decimal, gaps), na_action="ignore")
    plain = column.astype("float64")
    if np.isinf(plain).any():
        first = int(np.flatnonzero(np.isinf(plain))[0]) + 1
        message = f'column "{column.name}" holds infinite numbers, the first in row {first}'
        raise DataError(message, remedy="Put a missing value in their place")
    return plain


def _cell(text: str, decimal: str, gaps: Collection[float]) -> str | float:
    """A number in a column of text, as it would be read among numbers."""
    number = text.replace(decimal, ".").strip()
    if not _NUMBER.fullmatch(number):
        return text
    return math.nan if float(number) in gaps else number
