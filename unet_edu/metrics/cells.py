"""Scores of Table 2: SEG of the Cell Tracking Challenge, and plain intersection over union."""

import numpy as np


def seg(instances, predicted):
    """SEG of the Cell Tracking Challenge: the mean Jaccard index of the true cells.

    A predicted cell matches a true one if it covers more than half of it, so that at most one does. The true
    cell then scores their intersection over their union, and 0 without a match. The mean is over all true cells
    of all frames. A predicted cell that matches none costs nothing (Maska et al. 2014).

    Parameters
    ----------
    instances : (H, W) integer array, 0 = background, one id per cell; or a sequence of such frames
    predicted : the same for the prediction; the ids need not correspond

    Returns
    -------
    float in [0, 1], 1 = every true cell exactly found

    Raises
    ------
    ValueError : frames whose number or shapes differ, negative ids, no true cell at all
    TypeError : ids that are not integers
    """
    truth, found = _frames("instances", instances), _frames("predicted", predicted)
    if [t.shape for t in truth] != [f.shape for f in found]:
        raise ValueError(
            f"instances {[t.shape for t in truth]}, predicted {[f.shape for f in found]}: must have the same shapes"
        )
    scores = [score for pair in zip(truth, found, strict=True) for score in jaccard_of_cells(*pair)]
    if not scores:
        raise ValueError("instances hold no cell: SEG is not defined; use frames that show one")
    return float(np.mean(scores))


def jaccard_of_cells(instances, predicted):
    """What each true cell of one frame adds to SEG, in the order of their ids; arrays as in `seg`."""
    areas = np.unique(predicted, return_counts=True)
    area = dict(zip(*(a.tolist() for a in areas), strict=True))
    scores = []
    for cell in np.unique(instances[instances > 0]):
        inside = predicted[instances == cell]
        ids, shared = np.unique(inside[inside > 0], return_counts=True)
        match = np.argmax(shared) if 2 * shared.max(initial=0) > inside.size else None
        scores.append(0.0 if match is None else shared[match] / (inside.size + area[int(ids[match])] - shared[match]))
    return scores


def iou(mask, predicted, known=None):
    """Intersection over union of the foreground; it does not see whether touching cells were told apart.

    Parameters
    ----------
    mask : array, nonzero = cell; (H, W), a stack, or anything of one shape: all pixels count alike
    predicted : array of the same shape, nonzero = predicted as cell
    known : boolean array of the same shape, False where the truth is not known; None: known everywhere

    Returns
    -------
    float in [0, 1]

    Raises
    ------
    ValueError : shapes that differ, negative values, no foreground in either
    """
    mask, predicted = np.asarray(mask), np.asarray(predicted)
    known = np.ones(mask.shape, bool) if known is None else np.asarray(known, bool)
    if not mask.shape == predicted.shape == known.shape:
        raise ValueError(f"mask {mask.shape}, predicted {predicted.shape}, known {known.shape}: must be the same")
    if min(mask.min(initial=0), predicted.min(initial=0)) < 0:
        raise ValueError("negative values: mark unknown pixels in `known`, and background as 0")
    truth, found = mask[known] != 0, predicted[known] != 0
    if not (union := np.count_nonzero(truth | found)):
        raise ValueError("neither mask nor predicted has foreground: their IOU is not defined; leave the image out")
    return np.count_nonzero(truth & found) / union


def _frames(name, frames):
    frames = [np.asarray(frame) for frame in (frames if np.ndim(frames[0]) == 2 else [frames])]
    for frame in frames:
        if not np.issubdtype(frame.dtype, np.integer):
            raise TypeError(f"{name} of type {frame.dtype}: ids are integers; use .astype(int)")
        if frame.ndim != 2 or frame.min(initial=0) < 0:
            raise ValueError(f"{name} of shape {frame.shape}: frames must be (H, W) with ids >= 0")
    return frames
