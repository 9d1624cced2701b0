"""Columns of a table as arrays, with complaints that name the column and never show a value."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from medfed.core.categories import category_key
from medfed.core.errors import DataError, Refused

if TYPE_CHECKING:
    from medfed.core.data import SetName, SiteData

MISSING = ""
"""The category key of a missing value; no present value has it."""


def load_table(data: "SiteData", name: "SetName", columns: Sequence[str]) -> Any:
    """One set of a site as a DataFrame that has the columns, one row per patient.

    Raises:
        DataError: Columns are missing, or patients have no row or several.
    """
    frame = data.load(name)
    absent = [column for column in columns if column not in frame.columns]
    if absent:
        remedy = "Correct the names in [task], or the table; names are case-sensitive"
        raise DataError(f"site {data.site} has no column {', '.join(absent)}", remedy=remedy)
    if len(frame) != data.count(name):
        remedy = "Reduce the table to one row per patient"
        raise DataError(f"site {data.site} has not exactly one row per patient", remedy=remedy)
    return frame


def load_training_table(data: "SiteData", columns: Sequence[str]) -> Any:
    """The training patients, of whom there must be some.

    Raises:
        Refused: The site has no training patient.
        DataError: See `load_table`.
    """
    if not data.count("train"):
        remedy = "Loosen [cohort], give the split a larger training share, or leave the site out"
        message = f"site {data.site} has no training patient"
        raise Refused("no-data", message, remedy=remedy)
    return load_table(data, "train", columns)


def numbers(frame: Any, columns: Sequence[str], site: str) -> NDArray[np.float64]:
    """Numeric columns side by side, NaN where a value is missing.

    Raises:
        DataError: A column holds text that is no number, or an infinite value.
    """
    found = np.empty((len(frame), len(columns)), np.float64)
    for place, column in enumerate(columns):
        found[:, place] = _number_column(frame[column], column, site)
    return found


def _number_column(series: Any, column: str, site: str) -> NDArray[np.float64]:
    import pandas as pd

    try:
        values = pd.to_numeric(series).to_numpy(np.float64, na_value=np.nan)
    except (TypeError, ValueError):  # their messages show the value
        remedy = "List it under categorical, or mend the table; missing values are empty cells"
        message = f'site {site}: the numeric column "{column}" holds something that is no number'
        raise DataError(message, remedy=remedy) from None
    if np.isinf(values).any():
        message = f'site {site}: the numeric column "{column}" holds an infinite value'
        raise DataError(message, remedy="Mend the table; leave a cell empty where nothing is known")
    return np.asarray(values, np.float64)


def category_codes(series: Any) -> tuple[NDArray[np.int64], list[str]]:
    """A categorical column as a code per row and the key of each code.

    Keys are the same at every site however a table stores a value: 1, 1.0, True and the text
    ``1.0`` are ``1``. Two codes may have one key.
    """
    import pandas as pd

    codes, uniques = pd.factorize(series, use_na_sentinel=True)
    keys = [category_key(value) for value in uniques]
    return np.asarray(codes, np.int64), keys


def category_keys(series: Any) -> NDArray[Any]:
    """The key of each row; `MISSING` where a value is missing."""
    codes, keys = category_codes(series)
    found: NDArray[Any] = np.array([*keys, MISSING], dtype=object)[codes]
    return found
