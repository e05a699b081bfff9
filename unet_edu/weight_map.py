"""The weight map (Eq. 2): class balance, and a border that keeps touching cells apart."""

import numpy as np
from scipy import ndimage

NEGLIGIBLE = 1e-5  # a weight this small is left out


def separate_touching(instances):
    """Put background between cells that touch (Sec. 3, "morphological operations").

    A pixel becomes background if one of its eight neighbors belongs to another cell. Afterwards no two
    different ids are 8-adjacent, so a ridge two pixels wide, or one diagonal, runs between cells that
    touched. A cell vanishes only if every pixel of it touched another cell.

    Parameters
    ----------
    instances : (H, W) integer array, 0 = background, one id per cell

    Returns
    -------
    (H, W) array like `instances`, a copy

    Raises
    ------
    ValueError : not two-dimensional or negative ids; TypeError : not integer
    """
    instances = _checked(instances)
    highest = ndimage.maximum_filter(instances, 3, mode="nearest")
    beyond = int(instances.max(initial=0)) + 1  # background must not count as the lowest id
    lowest = ndimage.minimum_filter(np.where(instances == 0, beyond, instances.astype(int)), 3, mode="nearest")
    return np.where((highest == instances) & (lowest == instances), instances, 0).astype(instances.dtype)


def touching_pairs(instances, *, diagonal=True):
    """Pairs of cells with adjacent pixels.

    Parameters
    ----------
    instances : (H, W) integer array, 0 = background, one id per cell
    diagonal : whether pixels that share only a corner are adjacent

    Returns
    -------
    (pairs, 2) array of ids, the lower first, each pair once

    Raises
    ------
    ValueError : not two-dimensional or negative ids; TypeError : not integer
    """
    instances = _checked(instances)
    neighbors = [(instances[1:], instances[:-1]), (instances[:, 1:], instances[:, :-1])]
    if diagonal:
        neighbors += [(instances[1:, 1:], instances[:-1, :-1]), (instances[1:, :-1], instances[:-1, 1:])]
    pairs = [np.stack([a, b], -1)[(a != b) & (a > 0) & (b > 0)] for a, b in neighbors]
    return np.unique(np.sort(np.concatenate(pairs)), axis=0)


def class_frequencies(classes, num_classes):
    """Share of each class among the known pixels of a training set, as `class_weights` needs them.

    Parameters
    ----------
    classes : the (H, W) integer arrays of all images, 0 .. num_classes - 1, -1 = unknown
    num_classes : number of classes K

    Returns
    -------
    (K,) float array that sums to 1; 0 for a class that never occurs

    Raises
    ------
    ValueError : a class outside -1 .. num_classes - 1, no known pixel; TypeError : not integer
    """
    counts = np.zeros(num_classes)
    for image in classes:
        image = _checked_classes(image, num_classes)
        counts += np.bincount(image[image >= 0], minlength=num_classes)
    if not counts.any():
        raise ValueError("classes: no pixel is known; add images with a class of 0 or more")
    return counts / counts.sum()


def class_weights(classes, frequencies):
    """Weight w_c of each pixel that balances the classes: 1 / (number of classes * frequency).

    Over the whole training set the mean weight is 1, and every class has the same total (Sec. 3).

    Parameters
    ----------
    classes : (H, W) integer array, 0 .. K - 1, -1 = unknown
    frequencies : K shares of the known pixels of the whole training set, not of this image alone;
        they are normalized to sum to 1

    Returns
    -------
    (H, W) float32 array, 0 where unknown

    Raises
    ------
    ValueError : a class that never occurs in the training set, a class without a frequency;
    TypeError : classes that are not integers
    """
    frequencies = np.asarray(frequencies, float)
    if not (frequencies > 0).all():
        absent = np.flatnonzero(~(frequencies > 0)).tolist()
        raise ValueError(
            f"frequencies={frequencies.tolist()}: class {absent} never occurs in the training set and has no weight;"
            " leave it out of the classes or add images that show it"
        )
    classes = _checked_classes(classes, len(frequencies))
    weights = frequencies.sum() / (len(frequencies) * frequencies)
    return np.append(weights, 0.0)[classes].astype(np.float32)  # index -1 is the last: unknown


def border_weights(instances, w0=10.0, sigma=5.0):
    """Weight of pixels between two close cells: w0 exp(-(d1 + d2)^2 / (2 sigma^2)), the second term of Eq. 2.

    d1 and d2 are the exact Euclidean distances to the nearest and the second nearest cell, 0 inside.

    Parameters
    ----------
    instances : (H, W) integer array, 0 = background, one id per cell
    w0 : weight where two cells touch
    sigma : distance in pixels over which the weight fades

    Returns
    -------
    (H, W) float32 array, exact to 1e-5; zero when there are fewer than two cells

    Raises
    ------
    ValueError : not two-dimensional, negative ids, w0 < 0, sigma <= 0; TypeError : not integer
    """
    if w0 < 0 or sigma <= 0:
        raise ValueError(f"w0={w0}, sigma={sigma}: use w0 >= 0 and sigma > 0, such as 10 and 5")
    reach = sigma * np.sqrt(2 * np.log(max(w0, NEGLIGIBLE) / NEGLIGIBLE))
    nearest, second = nearest_distances(instances, reach)
    return (w0 * np.exp(-((nearest + second) ** 2) / (2 * sigma**2))).astype(np.float32)


def nearest_distances(instances, reach):
    """d1 and d2 of Eq. 2: exact Euclidean distances to the nearest and the second nearest cell, 0 inside.

    Parameters
    ----------
    instances : (H, W) integer array, 0 = background, one id per cell
    reach : pixels up to which distances are wanted; farther ones may be infinite

    Returns
    -------
    (d1, d2), both (H, W) float32, infinite where there is no such cell

    Raises
    ------
    ValueError : not two-dimensional, negative ids; TypeError : not integer
    """
    instances = _checked(instances)
    if instances.max() > instances.size:  # find_objects makes a list as long as the largest id
        ids, instances = np.unique(instances, return_inverse=True)
        instances = instances + (ids[0] > 0)
    nearest, second = np.full((2, *instances.shape), np.inf, np.float32)
    for cell, window in _windows(instances, reach):
        distance = ndimage.distance_transform_edt(instances[window] != cell).astype(np.float32)
        second[window] = np.minimum(second[window], np.maximum(nearest[window], distance))
        nearest[window] = np.minimum(nearest[window], distance)
    return nearest, second


def weight_map(instances, *, w0=10.0, sigma=5.0, frequencies=None, known=None):
    """The whole of Eq. 2: class balance plus border, w(x) = w_c(x) + w0 exp(-(d1 + d2)^2 / (2 sigma^2)).

    Parameters
    ----------
    instances : (H, W) integer array, 0 = background, one id per cell
    w0, sigma : as in `border_weights`
    frequencies : shares of background and cell in the whole training set; None: w_c = 1, no balance
    known : (H, W) boolean array, False where the truth is not known; None: known everywhere

    Returns
    -------
    (H, W) float32 array, 0 where unknown

    Raises
    ------
    ValueError, TypeError : as `border_weights` and `class_weights`
    """
    weights = border_weights(instances, w0, sigma)
    classes = (np.asarray(instances) > 0).astype(int)
    weights += 1 if frequencies is None else class_weights(classes, frequencies)
    return weights if known is None else np.where(known, weights, np.float32(0))


def _windows(instances, reach):
    """Each cell's id with a window around it, wide enough that its weight is negligible outside."""
    margin = int(np.ceil(reach)) + 1
    for cell, box in enumerate(ndimage.find_objects(instances), start=1):
        if box is not None:
            yield cell, tuple(slice(max(side.start - margin, 0), side.stop + margin) for side in box)


def _checked_classes(classes, num_classes):
    classes = np.asarray(classes)
    if classes.dtype.kind not in "bui":
        raise TypeError(f"classes of type {classes.dtype}: classes are integers; use .astype(int)")
    classes = classes.astype(int)
    if classes.min(initial=0) < -1 or classes.max(initial=0) >= num_classes:
        raise ValueError(f"classes {classes.min()} to {classes.max()}: must be -1 to {num_classes - 1}")
    return classes


def _checked(instances):
    instances = np.asarray(instances)
    if not np.issubdtype(instances.dtype, np.integer):
        raise TypeError(f"instances.dtype={instances.dtype}: ids are integers; use .astype(int)")
    if instances.ndim != 2 or not instances.size or instances.min() < 0:
        raise ValueError(f"instances of shape {instances.shape}: must be (H, W), not empty, with ids >= 0")
    return instances
