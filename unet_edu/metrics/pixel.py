"""Pixel error of the EM segmentation challenge (Table 1)."""

import numpy as np

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
    ValueError : shapes that differ or are neither (H, W) nor (Z, H, W), no cell pixel in the labels, negative labels,
        probabilities outside [0, 1]
    """
    return 1 - max(pixel_f_scores(labels, probability))


def pixel_f_scores(labels, probability):
    """F-score of the class cell at each of `THRESHOLDS`; a pixel is a cell where probability > threshold."""
    labels, probability = np.asarray(labels), np.asarray(probability, np.float64)  # thresholds are doubles
    if labels.shape != probability.shape or labels.ndim not in (2, 3):
        raise ValueError(
            f"labels {labels.shape}, probability {probability.shape}: must both be (H, W) or (Z, H, W)"
        )
    cell = labels > 0
    if (labels < 0).any():
        raise ValueError("labels hold negative values: leave unknown pixels out, or call them membrane (0)")
    if not ((probability >= 0) & (probability <= 1)).all():  # NaN fails too
        raise ValueError("probability holds values outside [0, 1] or NaN: divide 8-bit maps by 255")
    if not cell.any():
        raise ValueError("labels hold no cell pixel: the F-score is not defined; use labels that are nonzero in cells")
    scores = []
    for threshold in THRESHOLDS:
        predicted = probability > threshold
        hits = np.count_nonzero(cell & predicted)
        scores.append(float(2 * hits / (np.count_nonzero(cell) + np.count_nonzero(predicted))))
    return scores
