"""How the cells of the truth and the segments of a prediction overlap: what Rand and information scores count."""

from typing import NamedTuple

import numpy as np
from scipy import ndimage

from unet_edu.metrics.inputs import checked
from unet_edu.metrics.thinning import thin
from unet_edu.metrics.thresholds import THRESHOLDS


class Overlap(NamedTuple):
    """Pixel counts within the cells of the truth; membrane of the truth is left out ("foreground-restricted").

    A cell pixel that is predicted as membrane is a segment of its own, so that nothing is gained by
    leaving pixels out.
    """

    pixels: int  # of all cells
    cells: np.ndarray  # of each cell
    segments: np.ndarray  # of each segment, single pixels included
    both: np.ndarray  # of each pair of cell and segment that overlap, single pixels included


def overlaps(labels, probability, *, thinned):
    """For each of `THRESHOLDS`, the `Overlap` of every slice with its prediction, as 4-connected cells or thinned.

    ValueError if a slice that is to be thinned, and so scored on its own, shows no cell.
    """
    cells, probability = checked(labels, probability)
    if thinned and not cells.any(axis=(1, 2)).all():
        empty = np.flatnonzero(~cells.any(axis=(1, 2))).tolist()
        raise ValueError(f"labels hold no cell pixel in slice {empty}: it has no score of its own; leave it out")
    truth = [ndimage.label(cell)[0] for cell in cells]
    for threshold in THRESHOLDS:
        predicted = (p > threshold for p in probability)
        segments = (thin(p) if thinned else ndimage.label(p)[0] for p in predicted)
        yield [overlap(*pair) for pair in zip(truth, segments, strict=True)]


def overlap(cells, segments):
    """Overlap of two segmentations of one slice, (H, W) integer arrays with 0 = membrane."""
    inside = cells > 0
    cells, segments = cells[inside].astype(np.int64), segments[inside].astype(np.int64)
    alone = np.ones(np.count_nonzero(segments == 0), np.int64)
    together = np.unique((cells * (segments.max(initial=0) + 1) + segments)[segments > 0], return_counts=True)[1]
    return Overlap(
        pixels=cells.size,
        cells=np.bincount(cells)[1:],
        segments=np.append(np.bincount(segments)[1:], alone),
        both=np.append(together, alone),
    )
