"""What all scores of the EM challenge take: a stack of labels and a stack of probabilities."""

import numpy as np


def checked(labels, probability):
    """(Z, H, W) boolean cells and (Z, H, W) probabilities of the same stack; ValueError for anything else.

    Probabilities become double: with float32, NumPy would round the thresholds to it, the challenge did not.
    """
    labels, probability = np.asarray(labels), np.asarray(probability)
    if labels.shape != probability.shape or labels.ndim not in (2, 3):
        raise ValueError(
            f"labels {labels.shape}, probability {probability.shape}: must both be (H, W) or (Z, H, W)"
        )
    if not (labels >= 0).all():  # NaN fails too
        raise ValueError(
            f"labels hold {labels.min()}, negative or NaN: leave unknown pixels out, or call them membrane (0)"
        )
    if not ((probability >= 0) & (probability <= 1)).all():  # NaN fails too
        raise ValueError(
            f"probability {probability.min()} to {probability.max()}: must be in [0, 1]; divide 8-bit maps by 255"
        )
    if not (labels > 0).any():
        raise ValueError("labels hold no cell pixel: no score is defined; use labels that are nonzero in cells")
    stack = (-1, *labels.shape[-2:])
    return (labels > 0).reshape(stack), probability.astype(np.float64).reshape(stack)
