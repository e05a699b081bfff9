"""Pixel error of the EM segmentation challenge (Table 1)."""

import numpy as np

from unet_edu.metrics.inputs import checked
from unet_edu.metrics.thresholds import THRESHOLDS


def pixel_error(labels, probability):
    """1 - the best F-score of the class cell over the challenge's 11 thresholds 0, 0.1, ... 1 (Table 1).

    One threshold serves the whole stack: pixels are counted over all slices first. It is not the mean
    squared error, which goes by the same name elsewhere.

    Parameters
    ----------
    labels : (Z, H, W) or (H, W) array, nonzero = cell, 0 = membrane
    probability : array of the same shape, certainty of cell in [0, 1]

    Returns
    -------
    float in [0, 1], 0 = every pixel right at some threshold

    Raises
    ------
    ValueError : shapes that differ or are neither (H, W) nor (Z, H, W), no cell in the labels, negative labels,
        probabilities outside [0, 1]
    """
    return 1 - max(pixel_f_scores(labels, probability))


def pixel_f_scores(labels, probability):
    """F-score of the class cell at each of `THRESHOLDS`; a pixel is a cell where probability > threshold."""
    cells, probability = checked(labels, probability)
    scores = []
    for threshold in THRESHOLDS:
        predicted = probability > threshold
        hits = np.count_nonzero(cells & predicted)
        scores.append(float(2 * hits / (np.count_nonzero(cells) + np.count_nonzero(predicted))))
    return scores
