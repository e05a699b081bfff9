"""Data of the Cell Tracking Challenge (Table 2): which pixels of a partly annotated frame are known (Sec. 4).

Of a frame there are the image, the gold truth (masks of cells that people drew, some cells left out), a
small marker of every tracked cell, and the silver truth (masks of cells that computers drew).
"""

import numpy as np

PARTS = (
    "{sequence}/t{frame}.tif",
    "{sequence}_GT/SEG/man_seg{frame}.tif",
    "{sequence}_GT/TRA/man_track{frame}.tif",
    "{sequence}_ST/SEG/man_seg{frame}.tif",
)
EDGE = 50  # cells wholly within this many pixels of the image edge are visible, but never labeled


def frames(files):
    """(sequence, frame) of every image among paths such as "01/t067.tif", as they stand there: ("01", "067")."""
    split = (file.removesuffix(".tif").split("/t") for file in files)
    return [(parts[0], parts[1]) for parts in split if len(parts) == 2]


def classes(instances, markers, silver):
    """Classes of the frames of a set: 1 cell, 0 background, -1 unknown.

    Unknown are cells with a marker but no mask, as far as the silver truth shows them; where it does not, a
    disk of the median radius of the set's cells stands for them. Unknown is also what has no label within
    50 pixels of the image edge. A labeled pixel is never unknown.

    Parameters
    ----------
    instances : the (H, W) masks of each frame, 0 = no label, one id per cell
    markers : the (H, W) markers of each frame; their ids need not be those of the masks
    silver : the (H, W) computer-made masks of each frame

    Returns
    -------
    one (H, W) int8 array a frame; 1 exactly where `instances` > 0
    """
    radius = np.sqrt(np.median(np.concatenate([_areas(frame) for frame in instances])) / np.pi)
    return [frame_classes(*frame, radius) for frame in zip(instances, markers, silver, strict=True)]


def unlabeled(instances, markers):
    """Ids of the markers whose cell has no mask: none covers more than half of the marker, the challenge's rule."""
    return [int(i) for i in np.unique(markers[markers > 0]) if not _covering(instances, markers == i)]


def frame_classes(instances, markers, silver, radius):
    """As `classes`, of one frame; where the silver truth is silent, a disk of `radius` pixels stands for a cell."""
    unknown = np.ones(instances.shape, bool)
    unknown[EDGE:-EDGE, EDGE:-EDGE] = False
    for i in unlabeled(instances, markers):
        marker = markers == i
        region = _covering(silver, marker)
        unknown |= marker | (silver == region if region else _disk(marker, radius))
    return np.where(instances > 0, 1, np.where(unknown, -1, 0)).astype(np.int8)


def _covering(masks, marker):
    """Id of the mask that covers more than half of the marker, 0 if there is none."""
    covered = np.bincount(masks[marker])
    return int(covered.argmax()) if 2 * covered.max() > marker.sum() else 0


def _disk(marker, radius):
    """The pixels at most `radius` away from the marker's center."""
    y, x = np.nonzero(marker)
    rows, columns = np.indices(marker.shape)
    return (rows - y.mean()) ** 2 + (columns - x.mean()) ** 2 <= radius**2


def _areas(instances):
    areas = np.bincount(instances.ravel())[1:]
    return areas[areas > 0]
