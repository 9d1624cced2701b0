"""The source ``breast-cancer``: a real data set that needs no folder, shared out among sites.

569 patients of the Breast Cancer Wisconsin (Diagnostic) set, which scikit-learn ships: 30 figures
of cell nuclei under the microscope, and whether the tumour was malignant (212) or benign (357).
Street, Wolberg, Mangasarian, SPIE 1905 (1993); https://doi.org/10.24432/C5DW2B, CC BY 4.0.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medfed.connectors.tables import Table
from medfed.core.data import TABLE
from medfed.core.errors import DataError
from medfed.core.options import option
from medfed.core.seeding import generator

TARGET = "diagnosis"
MOST_SITES = 40
FIGURES = (
    "radius", "texture", "perimeter", "area", "smoothness", "compactness", "concavity",
    "concave points", "symmetry", "fractal dimension",
)  # fmt: skip
"""Of each the columns have the mean over the nuclei, its error, and the mean of the worst three."""
_SPREAD = 0.15
"""The share of each label that is dealt out evenly, so that every site has both."""


@dataclass(frozen=True)
class BreastCancer:
    """Breast cancer, 569 real patients (Wisconsin), dealt out to the sites of the study.

    With ``skew`` 0 the sites are alike; with 1 the first sites see the patients with small cell
    nuclei and the last those with large ones, so that labels and inputs differ between them. The
    sites are disjoint, together hold every patient, and each has patients with either diagnosis.
    """

    gives: ClassVar[str] = TABLE

    skew: float = option(0.5, "How much the sites differ: 0 alike, 1 sorted", low=0, high=1)

    def open(self, root: Path | None, site: str, sites: Sequence[str]) -> Table:
        """One site's share; see `medfed.core.data.SourceOpener`.

        Raises:
            DataError: The site is not one of the study, or there are too many.
        """
        if site not in sites:
            raise DataError(f"{site} is not a site of the study", remedy=f"Use {', '.join(sites)}")
        if len(sites) > MOST_SITES:
            message = f"{len(sites)} sites are too many for 569 patients"
            raise DataError(message, remedy=f"Name {MOST_SITES} sites or fewer")
        frame = _frame()
        mine = frame[_partition(frame, len(sites), self.skew) == list(sites).index(site)]
        return Table(mine, list(mine[TARGET]))


@functools.cache
def _frame() -> pd.DataFrame:
    columns = [
        *(f"mean {each}" for each in FIGURES),
        *(f"{each} error" for each in FIGURES),
        *(f"worst {each}" for each in FIGURES),
    ]
    raw = np.loadtxt(_shipped(), delimiter=",", skiprows=1)
    names = np.array(["malignant", "benign"])
    patients = pd.Index([f"bc-{row:04d}" for row in range(1, len(raw) + 1)], name="patient")
    frame = pd.DataFrame(raw[:, :-1].copy(), index=patients, columns=columns)
    return frame.assign(**{TARGET: names[raw[:, -1].astype(np.int64)]})


def _shipped() -> Path:
    """The table in scikit-learn, whose import would cost each process more than a second."""
    package = find_spec("sklearn")
    assert package is not None  # noqa: S101  # medfed depends on it
    assert package.origin is not None  # noqa: S101  # it lies on the disk
    return Path(package.origin).parent / "datasets" / "data" / "breast_cancer.csv"


def _partition(frame: pd.DataFrame, sites: int, skew: float) -> NDArray[np.int64]:
    """The place of each patient's site: even shares of a ranking by size blended with chance."""
    rng = generator(0, "breast-cancer")
    size = frame["mean radius"].rank(method="first").to_numpy(np.float64) / len(frame)
    blend = skew * size + (1.0 - skew) * rng.random(len(frame))
    place = np.empty(len(frame), np.int64)
    dealt = np.zeros(len(frame), np.bool_)
    for label in sorted(frame[TARGET].unique()):
        rows = rng.permutation(np.flatnonzero(frame[TARGET] == label))
        some = rows[: max(2 * sites, round(_SPREAD * len(rows)))]
        place[some] = np.arange(len(some)) % sites
        dealt[some] = True
    rest = np.flatnonzero(~dealt)
    ranked = rest[np.argsort(blend[rest], kind="stable")]
    place[ranked] = np.arange(len(ranked)) * sites // len(ranked)
    return place
