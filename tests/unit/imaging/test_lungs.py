"""The lung mask's closing looks at the lungs' box only, and gives what the whole would."""

import numpy as np
import pytest
from scipy import ndimage

from medfed.imaging.lungs import _closed


@pytest.mark.parametrize("seed", range(20))
def test_a_closing_is_that_of_the_whole_picture(seed):
    rng = np.random.default_rng(seed)
    mask = np.zeros((14, 15, 16), bool)
    mask[4:9, :7, 3:14] = rng.random((5, 7, 11)) < 0.1
    mask[6, 3, 5] = True
    spacing, radius = tuple(rng.uniform(1, 4, 3)), rng.uniform(2, 12)
    wide = np.pad(mask, 14)
    grown = ndimage.distance_transform_edt(~wide, sampling=spacing) <= radius
    whole = ndimage.distance_transform_edt(grown, sampling=spacing) > radius
    np.testing.assert_array_equal(
        _closed(mask, spacing, radius), whole[14:-14, 14:-14, 14:-14] | mask
    )
