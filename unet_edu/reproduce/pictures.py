"""The worst and the best held-out tile of a job, side by side: a look at what the scores stand for."""

import numpy as np
from PIL import Image
from scipy import ndimage

from unet_edu import metrics
from unet_edu.files import whole
from unet_edu.instances import from_probability
from unet_edu.reproduce.scores import EM

SIDE = 256  # pixels; frames of cells are shrunk to it
# Told apart with every kind of color vision: mergers and predicted outlines, splits, true outlines, membranes.
WRONG, SPLIT, TRUE, MEMBRANE = (213, 94, 0), (0, 114, 178), (0, 158, 115), (90, 90, 90)
WHITE = 255


def write(path, dataset, indices, probability):
    """Write a WebP picture, worst left, best right.

    Membranes: predicted ones in gray, mergers in red, splits in blue, both widened by two pixels; worst and best
    count all kinds of mistakes. Cells: the true outlines in green, predicted ones in red over them. The image
    itself is not shown, so that a picture may be passed on where the data may not.
    """
    tiles = list((_membranes if dataset.name in EM else _cells)(dataset, indices, probability))
    tiles.sort(key=lambda tile: tile[0])
    worst, best = tiles[-1][1], tiles[0][1]
    gap = np.full((worst.shape[0], 8, 3), 255, np.uint8)
    with whole(path) as unfinished:
        Image.fromarray(np.hstack([worst, gap, best])).save(unfinished, "WEBP", quality=60)


def _membranes(dataset, indices, probability):
    """Mistaken pixels and picture of every tile."""
    for i, cell in zip(indices, probability, strict=True):
        kinds = metrics.mistakes(np.asarray(dataset.classes[i]) > 0, cell)
        picture = np.where(cell[..., None] > 0.5, WHITE, MEMBRANE)
        for kind, color in ((metrics.Mistake.SPLIT, SPLIT), (metrics.Mistake.MERGE, WRONG)):
            picture[ndimage.binary_dilation(kinds == kind, iterations=2)] = color
        for top in range(0, cell.shape[0] - SIDE + 1, SIDE):
            for left in range(0, cell.shape[1] - SIDE + 1, SIDE):
                tile = slice(top, top + SIDE), slice(left, left + SIDE)
                yield np.count_nonzero(kinds[tile]), picture[tile].astype(np.uint8)


def _cells(dataset, indices, probability):
    """What is missing to a SEG of 1, and picture of every frame."""
    for i, cell in zip(indices, probability, strict=True):
        truth, found = np.asarray(dataset.instances[i]), from_probability(cell)
        picture = np.full((*cell.shape, 3), WHITE)
        for outlined, color in ((truth, TRUE), (found, WRONG)):
            picture[_outlines(outlined)] = color
        small = Image.fromarray(picture.astype(np.uint8)).resize((SIDE * cell.shape[1] // cell.shape[0], SIDE))
        yield 1 - metrics.seg(truth, found), np.asarray(small)


def _outlines(cells):
    return ndimage.maximum_filter(cells, 5) != ndimage.minimum_filter(cells, 5)  # still seen when shrunk
