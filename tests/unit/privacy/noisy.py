"""Whether noise is as strong as was paid for, from many draws of it."""

import numpy as np
from scipy.stats import chi2

ALARM = 1e-9
"""How often right noise is called wrong, exactly: the sum of squares of normal numbers is χ².

With 4,000 draws that is 7 % to either side. Noise cut by a fifth lies fourteen standard deviations
of the statistic beyond it; with 2,000, where it is 10 %, eight.
"""


def has_deviation(draws, deviation):
    """Whether independent normal numbers around zero may have this standard deviation."""
    squares = float(np.sum(np.square(np.asarray(draws, np.float64) / deviation)))
    low, high = chi2.ppf(ALARM / 2, np.size(draws)), chi2.isf(ALARM / 2, np.size(draws))
    return bool(low < squares < high)
