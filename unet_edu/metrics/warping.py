"""Warping error of Table 1: splits and mergers that are left when borders may move but not change the topology.

The true labels are warped towards the prediction, pixel by pixel, as long as no cell or hole appears, vanishes,
breaks or joins (Jain et al. 2010). What still differs then is an error of topology, and is sorted by kind.
"""

from enum import IntEnum

import numpy as np
from scipy import ndimage

from unet_edu.metrics.compiled import compiled
from unet_edu.metrics.inputs import checked
from unet_edu.metrics.thresholds import WARPING_THRESHOLDS


class Mistake(IntEnum):
    """What is wrong at a pixel that no deformation of the truth can explain; a prediction may lose or invent one."""

    MERGE = 1
    SPLIT = 2
    HOLE_ADDITION = 4
    OBJECT_DELETION = 8
    OBJECT_ADDITION = 16
    HOLE_DELETION = 32


WINDOW = 20  # px to each side in which a split must show
RING = ((0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1), (1, 0), (1, 1))  # (dy, dx), counter-clockwise


def warping_error(labels, probability):
    """Least share of pixels that split or merge cells, over the thresholds 0, 0.1, ... 0.9 (Table 1).

    Cells that are lost, invented or have holes cost nothing. An empty prediction scores 0 unless a cell encloses
    others or a wide hole: a ring cannot shrink to a point, and its pixels count as splits. The thresholds matter
    even for a binary prediction: they decide which pixels are warped first.

    Parameters
    ----------
    labels : (Z, H, W) or (H, W) array, nonzero = cell, 0 = membrane
    probability : array of the same shape, certainty of cell in [0, 1]

    Returns
    -------
    float in [0, 1]: pixels of splits and mergers over all pixels of the stack

    Raises
    ------
    ValueError : shapes that differ or are neither (H, W) nor (Z, H, W), no cell in the labels, negative labels,
        probabilities outside [0, 1]
    """
    counts = warping_counts(labels, probability)
    return min(count[Mistake.SPLIT] + count[Mistake.MERGE] for count in counts) / np.asarray(labels).size


def warping_counts(labels, probability):
    """Pixels of each `Mistake` in the whole stack, a dict for each of `WARPING_THRESHOLDS`."""
    counts = [dict.fromkeys(Mistake, 0) for _ in WARPING_THRESHOLDS]
    for framed in _framed(labels, probability):
        for count, threshold in zip(counts, WARPING_THRESHOLDS, strict=True):
            found = np.bincount(_mistakes(*framed, threshold).ravel(), minlength=max(Mistake) + 1)
            for mistake in Mistake:
                count[mistake] += int(found[mistake])
    return counts


def mistakes(labels, probability, threshold=0.5):
    """Where a prediction splits and merges cells: the `Mistake` of each pixel.

    Parameters
    ----------
    labels : (Z, H, W) or (H, W) array, nonzero = cell, 0 = membrane
    probability : array of the same shape, certainty of cell in [0, 1]
    threshold : a pixel is predicted as cell where probability > threshold

    Returns
    -------
    uint8 array of the same shape, 0 where the prediction is right after warping

    Raises
    ------
    ValueError : as `warping_error`, a threshold outside [0, 1]
    """
    kinds = [_mistakes(*framed, threshold)[1:-1, 1:-1] for framed in _framed(labels, probability, threshold)]
    return np.reshape(kinds, np.shape(labels))


def warp(labels, probability, threshold=0.5):
    """The true cells deformed towards a prediction without a change of topology: boolean array like `labels`.

    Pixels flip where the prediction is surest first; arguments and errors as in `mistakes`.
    """
    warped = [_warp(*framed, threshold)[1:-1, 1:-1] for framed in _framed(labels, probability, threshold)]
    return np.reshape(warped, np.shape(labels))


def _framed(labels, probability, threshold=0.0):
    """Cells and probabilities (double) of every slice with a frame of membrane, one pixel wide."""
    if not 0 <= threshold <= 1:  # below 0 the frame would turn to cell, and compiled code reads beyond it
        raise ValueError(f"threshold={threshold}: must be 0 to 1, such as 0.5")
    cells, probability = (np.pad(stack, ((0, 0), (1, 1), (1, 1))) for stack in checked(labels, probability))
    return zip(cells, probability, strict=True)


def _mistakes(cells, probability, threshold):
    warped = _warp(cells, probability, threshold)
    kinds = np.zeros(warped.shape, np.uint8)
    _classify(warped, ndimage.label(warped)[0], np.argwhere(warped != (probability > threshold)), kinds)
    return kinds


def _warp(cells, probability, threshold):
    warped, predicted = cells.copy(), probability > threshold
    x, y = np.nonzero(np.ascontiguousarray((warped != predicted).T))  # ties by column, as the challenge's code
    certainty = np.abs(probability[y, x] - threshold).astype(np.float32)
    surest_first = np.argsort(-certainty, kind="stable")
    y, x, count = y[surest_first], x[surest_first], None
    while len(y) != count:
        count = len(y)
        _flip_simple(warped, y, x)
        wrong = warped[y, x] != predicted[y, x]  # what is left keeps its order
        y, x = y[wrong], x[wrong]
    return warped


@compiled
def _flip_simple(image, rows, columns):
    """Visit the pixels in turn; flip each that is simple when its turn comes."""
    for y, x in zip(rows, columns):  # noqa: B905, numba knows no strict
        if _is_simple(image, y, x):
            image[y, x] = not image[y, x]


@compiled
def _is_simple(image, y, x):
    """Whether flipping a pixel keeps the topology: cells are 4-connected, membrane is 8-connected.

    The pieces of cell in its ring that touch it, by the four neighbors in each, must be exactly one.
    """
    pieces = 0
    for k in range(0, 8, 2):
        (ay, ax), (by, bx), (cy, cx) = RING[k], RING[k + 1], RING[(k + 2) % 8]
        pieces += image[y + ay, x + ax] and not (image[y + by, x + bx] and image[y + cy, x + cx])
    return pieces == 1


@compiled
def _classify(warped, components, places, kinds):
    """Write the `Mistake` of every pixel of `places` into `kinds`; `components` are those of the cells in `warped`."""
    visited = np.zeros(warped.shape, np.int64)
    for mark, (y, x) in enumerate(places, 1):
        ids = set([components[y + dy, x + dx] for dy, dx in RING])  # 0, membrane, counts as one of them
        if len(ids) == 1 and 0 in ids:
            kind = Mistake.OBJECT_DELETION if warped[y, x] else Mistake.OBJECT_ADDITION
        elif len(ids) == 1:
            kind = Mistake.HOLE_ADDITION if warped[y, x] else Mistake.HOLE_DELETION
        elif len(ids) > 2:
            kind = Mistake.SPLIT if warped[y, x] else Mistake.MERGE
        elif warped[y, x]:
            kind = Mistake.SPLIT if _breaks(warped, y, x, visited, mark) else Mistake.HOLE_DELETION
        else:
            kind = Mistake.HOLE_ADDITION
        kinds[y, x] = kind


@compiled
def _breaks(warped, y, x, visited, mark):
    """Whether the cell around a pixel falls apart without it, as far as its window shows.

    `visited` receives `mark` where the window was searched.
    """
    height, width = warped.shape
    reach = WINDOW if min(height, width) >= WINDOW else max(height, width)  # as the challenge's code
    top, bottom, left, right = y - reach, y + reach, x - reach, x + reach
    visited[y, x] = mark
    pieces = 0
    for dy, dx in RING:
        if not warped[y + dy, x + dx] or visited[y + dy, x + dx] == mark:
            continue
        pieces += 1
        visited[y + dy, x + dx] = mark
        pending = [(y + dy, x + dx)]
        while pending:
            v, u = pending.pop()
            for j, i in ((v, u + 1), (v - 1, u), (v, u - 1), (v + 1, u)):
                inside = max(top, 0) <= j <= min(bottom, height - 1) and max(left, 0) <= i <= min(right, width - 1)
                if inside and warped[j, i] and visited[j, i] != mark:
                    visited[j, i] = mark
                    pending.append((j, i))
    return pieces > 1
