"""Scores of Table 2: SEG of the Cell Tracking Challenge, and plain intersection over union."""

import numpy as np
from scipy import sparse


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
    scores = [score for pair in _pairs(instances, predicted) for score in jaccard_of_cells(*pair)]
    if not scores:
        raise ValueError("instances hold no cell: SEG is not defined; use frames that show one")
    return float(np.mean(scores))


def jaccard_of_cells(instances, predicted):
    """What each true cell of one frame adds to SEG, in the order of their ids; arrays as in `seg`."""
    ((truth, found),) = _pairs(instances, predicted)
    (cells, cell), (segments, segment) = _ranks(truth), _ranks(found)
    table = sparse.coo_array((np.ones(truth.size, int), (cell, segment)), (len(cells), len(segments)))
    shared = table.tocsr().tocoo()  # adds up the pixels of each pair
    area, size = table.sum(1)[shared.row], table.sum(0)[shared.col]
    match = (segments[shared.col] > 0) & (2 * shared.data > area)  # at most one of each cell
    scores = np.zeros(len(cells))
    scores[shared.row[match]] = (shared.data / (area + size - shared.data))[match]
    return scores[cells > 0].tolist()


def _ranks(ids):
    """The ids that occur, and of each pixel the rank of its id among them."""
    if not ids.size or ids.max() > ids.size:  # a table of all ids below would be larger than the frame
        return np.unique(ids.ravel(), return_inverse=True)
    present = np.bincount(ids.ravel()) > 0
    return np.flatnonzero(present), (np.cumsum(present) - 1)[ids.ravel()]


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
    ValueError : shapes that differ, negative values where known, no foreground in either
    """
    mask, predicted = np.asarray(mask), np.asarray(predicted)
    known = np.ones(mask.shape, bool) if known is None else np.asarray(known, bool)
    if not mask.shape == predicted.shape == known.shape:
        raise ValueError(f"mask {mask.shape}, predicted {predicted.shape}, known {known.shape}: must be the same")
    mask, predicted = mask[known], predicted[known]
    if not ((mask >= 0).all() and (predicted >= 0).all()):  # NaN fails too
        raise ValueError("negative values or NaN: mark unknown pixels in `known`, and background as 0")
    truth, found = mask != 0, predicted != 0
    if not (union := np.count_nonzero(truth | found)):
        raise ValueError("neither mask nor predicted has foreground: their IOU is not defined; leave the image out")
    return np.count_nonzero(truth & found) / union


def _pairs(instances, predicted):
    """Frames (H, W) of the truth, each with its prediction."""
    truth, found = _frames("instances", instances), _frames("predicted", predicted)
    if [t.shape for t in truth] != [f.shape for f in found]:
        raise ValueError(
            f"instances {[t.shape for t in truth]}, predicted {[f.shape for f in found]}: must have the same shapes"
        )
    return zip(truth, found, strict=True)


def _frames(name, frames):
    if not len(frames):
        raise ValueError(f"{name} of length 0: no frame at all; use (H, W) or a sequence of such frames")
    frames = [np.asarray(frame) for frame in (frames if np.ndim(frames[0]) == 2 else [frames])]
    for frame in frames:
        if not np.issubdtype(frame.dtype, np.integer):
            raise TypeError(f"{name} of type {frame.dtype}: ids are integers; use .astype(int)")
        if frame.ndim != 2 or frame.min(initial=0) < 0:
            raise ValueError(f"{name} of shape {frame.shape}, ids from {frame.min()}: must be (H, W), ids >= 0")
    return frames
