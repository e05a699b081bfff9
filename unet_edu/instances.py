"""From probabilities to cells: what the weight map kept apart becomes objects again."""

import numpy as np
from scipy import ndimage

from unet_edu.weight_map import nearest_distances


def from_probability(probability, *, threshold=0.5, min_size=0):
    """Cells of a probability map: its 4-connected components, grown back over the ridge between touching cells.

    The ridge is what `weight_map.separate_touching` takes from cells that touch: background at most a diagonal
    step from one cell and two from another. Each of its pixels goes to the nearest cell.

    Parameters
    ----------
    probability : (H, W) array, probability of cell in [0, 1]; of (K, H, W) take `of_cell`
    threshold : a pixel is cell where probability > threshold
    min_size : components of fewer pixels are dropped, before the ridge is given back

    Returns
    -------
    (H, W) int32 array, 0 = background, ids 1, 2, ... without a gap

    Raises
    ------
    ValueError : not two-dimensional or empty, values outside [0, 1], threshold outside [0, 1], min_size < 0
    """
    probability = np.asarray(probability)
    if probability.ndim != 2 or not probability.size:
        raise ValueError(
            f"probability {probability.shape}: must be (H, W), not empty; of (K, H, W) take of_cell"
        )
    if not ((probability >= 0) & (probability <= 1)).all():  # NaN fails too
        raise ValueError(
            f"probability {probability.min()} to {probability.max()}: must be in [0, 1]; apply softmax,"
            " or divide 8-bit maps by 255"
        )
    if not (0 <= threshold <= 1 and min_size >= 0):
        raise ValueError(f"threshold={threshold}, min_size={min_size}: use 0 to 1, and 0 or more pixels")
    cells = ndimage.label(probability > threshold)[0]
    large = np.bincount(cells.ravel())[1:] >= min_size
    cells = np.append(0, np.cumsum(large) * large)[cells]
    return join_ridge(cells).astype(np.int32)


def of_cell(probability):
    """Probability (H, W) of being anything but background, of class probabilities (K, H, W)."""
    return (1 - probability[0]).clip(0, 1)


def join_ridge(cells):
    """Give the ridge between cells back to them, each pixel to the nearest: undoes `separate_touching`.

    Takes and returns (H, W) integer arrays, 0 = background. Cells that never touched but lie two pixels apart
    grow together too: after separation the two cases look the same.
    """
    diagonal = np.sqrt(2) + 1e-6
    nearest, second = nearest_distances(cells, 3)
    ridge = (nearest > 0) & (nearest <= diagonal) & (second <= 2 * diagonal)
    rows, columns = ndimage.distance_transform_edt(cells == 0, return_distances=False, return_indices=True)
    return np.where(ridge, cells[rows, columns], cells)
