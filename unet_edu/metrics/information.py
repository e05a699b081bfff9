"""V_info: how much the predicted segments tell about the cells."""

import numpy as np
from scipy.special import xlogy

from unet_edu.metrics.overlap import overlaps


def v_info(labels, probability):
    """V_info after border thinning: the best mean information score over the challenge's 11 thresholds.

    Of one pixel drawn among the truth's cells, the information that its cell and its segment share, over the
    entropy of the cells and over that of the segments: their harmonic mean, the mean over the slices
    (Arganda-Carreras et al. 2015, alpha = 1/2). 1 is perfect; a slice of one single cell has no entropy
    and scores 0 however it is predicted. Thresholds at which a slice has no score are passed over.

    Parameters
    ----------
    labels : (Z, H, W) or (H, W) array, nonzero = cell, 0 = membrane
    probability : array of the same shape, certainty of cell in [0, 1]

    Returns
    -------
    float in [0, 1]

    Raises
    ------
    ValueError : shapes that differ or are neither (H, W) nor (Z, H, W), a slice without any cell, negative labels,
        probabilities outside [0, 1]
    """
    return float(np.fmax.reduce([0.0, *v_info_scores(labels, probability)]))


def v_info_scores(labels, probability):
    """Mean information score of the thinned slices at each of `THRESHOLDS`, NaN where it is not defined."""
    return [
        float(np.mean([information_f_score(counts) for counts in stack]))
        for stack in overlaps(labels, probability, thinned=True)
    ]


def information_f_score(counts):
    """Harmonic mean of the shared information over the entropy of the cells and over that of the segments.

    As in the challenge: 0 if either entropy is 0, not a number if both are positive and nothing is shared.
    """
    of_cells, of_segments, of_both = (
        -float(np.sum(xlogy(n / counts.pixels, n / counts.pixels)))
        for n in (counts.cells, counts.segments, counts.both)
    )
    if of_cells == 0 or of_segments == 0:
        return 0.0
    shared = of_cells + of_segments - of_both
    return 2 * shared / (of_cells + of_segments) if shared != 0 else np.nan
