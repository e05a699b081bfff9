"""Rand error of Table 1, and V_rand, the score that the challenge later ranked by."""

import numpy as np

from unet_edu.metrics.overlap import overlaps


def rand_error(labels, probability):
    """1 - the best Rand F-score over the challenge's 11 thresholds, without thinning (Table 1).

    Two pixels of the truth's cells belong together if they lie in one cell: the F-score of these pairs. Pairs
    are summed over the slices first, so that one threshold serves the whole stack. Cells are 4-connected.

    Parameters
    ----------
    labels : (Z, H, W) or (H, W) array, nonzero = cell, 0 = membrane; pairs in the membrane do not count
    probability : array of the same shape, certainty of cell in [0, 1]

    Returns
    -------
    float in [0, 1], 0 = every pair right at some threshold

    Raises
    ------
    ValueError : shapes that differ or are neither (H, W) nor (Z, H, W), no cell in the labels, negative labels,
        probabilities outside [0, 1]
    """
    return 1 - max(rand_f_scores(labels, probability))


def rand_f_scores(labels, probability):
    """Rand F-score of the pooled stack at each of `THRESHOLDS`, without thinning."""
    return [
        f_score(*np.sum([pair_counts(counts) for counts in stack], axis=0))
        for stack in overlaps(labels, probability, thinned=False)
    ]


def v_rand(labels, probability):
    """V_rand after border thinning: the best mean Rand F-score over the challenge's 11 thresholds.

    As `rand_error`, but every prediction is thinned first (`thin`), the F-score is the mean over the slices,
    and it is a score: 1 is perfect (Arganda-Carreras et al. 2015, alpha = 1/2).

    Parameters
    ----------
    labels : (Z, H, W) or (H, W) array, nonzero = cell, 0 = membrane
    probability : array of the same shape, certainty of cell in [0, 1]

    Returns
    -------
    float in [0, 1], 1 = every pair right at some threshold

    Raises
    ------
    ValueError : as `rand_error`
    """
    return max(v_rand_scores(labels, probability))


def v_rand_scores(labels, probability):
    """Mean Rand F-score of the thinned slices at each of `THRESHOLDS`."""
    return [
        float(np.mean([f_score(*pair_counts(counts)) for counts in stack]))
        for stack in overlaps(labels, probability, thinned=True)
    ]


def pair_counts(counts):
    """Ordered pairs of pixels, a pixel with itself included: together in both, only in the prediction, only in the
    truth (true positives, false positives, false negatives: mergers lower precision, splits recall)."""
    both, segments, cells = (np.sum(n.astype(float) ** 2) for n in (counts.both, counts.segments, counts.cells))
    return both, segments - both, cells - both


def f_score(true_positive, false_positive, false_negative):
    """Harmonic mean of precision and recall."""
    return float(2 * true_positive / (2 * true_positive + false_positive + false_negative))
