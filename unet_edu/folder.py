"""Label images of one's own: which belongs to which image, and which pixels belong to which cell."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from unet_edu import images

# What may follow the name of the image: "cell7_mask.png" labels "cell7.tif". The last two are our own predictions.
ENDINGS = ("_cp_masks", "_masks", "_mask", "_labels", "_label", "_probability")


WHITE = (255, 65535)  # what masks are painted in; 1 is not here: where cells have numbers, a lone one is number 1


class Labels(NamedTuple):
    """The cells of a set of label images."""

    instances: list[np.ndarray]  # (H, W) integers, 0 = background, one id per cell
    known: list[np.ndarray]      # (H, W) boolean, False where the truth is not known
    kind: str                    # how the files were read, in words


def name(path):
    """Name of the image that a file holds or labels: "data/cell7_mask.ome.tif" -> "cell7"."""
    stem = Path(path).stem.removesuffix(".ome")
    ending = next((end for end in ENDINGS if stem.endswith(end) and stem != end), "")
    return stem.removesuffix(ending)


def named(paths):
    """Paths by the names of their images; ValueError if two have the same."""
    found = {}
    for path in paths:
        if (one := name(path)) in found:
            raise ValueError(f"{found[one]} and {path}: both have the name {one}; rename one, or use a folder for each")
        found[one] = path
    return found


def match(first, second, ending=""):
    """Pairs of files of one name in two folders, in the order of the names; two files are a pair as they are.

    Parameters
    ----------
    first, second : folders or files
    ending : of the first, only files with this ending count, if there are any

    Returns
    -------
    (pairs, without_second, without_first) : {name: (path, path)}, and the names found in one folder only

    Raises
    ------
    FileNotFoundError, ValueError : as `images.files`; also two files of one name, a file that is its own partner,
        no pair at all
    """
    (firsts, _), (seconds, _) = images.files(first), images.files(second)
    firsts = [path for path in firsts if path.stem.endswith(ending)] or firsts
    if firsts == [Path(first)] and seconds == [Path(second)]:
        pairs, one, other = {name(first): (firsts[0], seconds[0])}, {}, {}
    else:
        one, other = named(firsts), named(seconds)
        pairs = {n: (one[n], other[n]) for n in sorted(one.keys() & other.keys())}
    if not pairs:
        raise ValueError(
            f"no file in {first} ({few(one)}) has the name of one in {second} ({few(other)}); cell7.tif belongs to"
            f" cell7.tif, cell7.png, cell7{' or cell7'.join(ENDINGS)}"
        )
    for path, partner in pairs.values():
        if path.resolve() == partner.resolve():
            raise ValueError(f"{path}: given as image and as labels; name two different files or folders")
    return pairs, sorted(one.keys() - pairs.keys()), sorted(other.keys() - pairs.keys())


def read_labels(paths, *, unknown=None, strict=True):
    """Cells of label images.

    If no image of the set has more than one value besides 0, they are masks (0 and 1, 0 and 255), and a cell is a
    4-connected component; else every value is the id of one cell.

    Parameters
    ----------
    paths : label images, see `images.read`; integers, 0 = background
    unknown : value of the pixels whose truth is not known; None: there are none
    strict : refuse an image without a cell, a set without background, of which nothing could be learned, and a
        black and white mask among images with numbers, whose cells would be taken for one

    Returns
    -------
    Labels

    Raises
    ------
    FileNotFoundError, ValueError : as `images.read`; also labels that are not integers or are negative, or see `strict`
    """
    values = [_ids(path) for path in paths]
    known = [np.ones(image.shape, bool) if unknown is None else image != unknown for image in values]
    found = [np.where(k, image, 0) for image, k in zip(values, known, strict=True)]
    ids = [np.unique(image[image != 0]) for image in found]
    for path, present in zip(paths, ids, strict=True):
        if present.min(initial=0) < 0:
            raise ValueError(f"{path}: holds negative labels ({present.min()}); if they mean unknown, say so")
        if strict and not len(present):
            raise ValueError(f"{path}: shows no cell, all labels are 0; leave the image out, or check its export")
    masks = max(map(len, ids)) <= 1
    if strict and not any((image[k] == 0).any() for image, k in zip(values, known, strict=True)):
        raise ValueError(f"{paths[0]}: no label is 0, smallest: {min(map(min, ids))}; 0 must be background")
    if strict and not masks:
        _refuse_masks(paths, found, ids)
    if masks:
        found = [ndimage.label(image)[0] for image in found]
    return Labels(found, known, "masks, a cell is what hangs together" if masks else "one number for each cell")


def _refuse_masks(paths, found, ids):
    """ValueError for an image whose only value is white, on several pieces, among images with numbers."""
    numbered = paths[[len(present) > 1 for present in ids].index(True)]
    for path, image, present in zip(paths, found, ids, strict=True):
        if len(present) == 1 and present[0] in WHITE and (pieces := ndimage.label(image)[1]) > 1:
            raise ValueError(
                f"{path}: a mask, {present[0]} on {pieces} pieces, but {numbered} has a number for each cell; give the"
                " cells numbers here too (ImageJ: Analyze Particles, Show: Count Masks), or save all as masks"
            )


def _ids(path):
    image = np.asarray(images.read(path))
    if image.dtype.kind not in "uib":
        raise ValueError(f"{path}: holds {image.dtype}; labels are integers, in ImageJ: Image > Type > 16-bit")
    return image.astype(np.int64) * (WHITE[0] if image.dtype == bool else 1)  # a bit is no number: white


def few(names):
    """The first five names; "none" of none."""
    shown = ", ".join(sorted(names)[:5])
    return (shown or "none") + (f" and {len(names) - 5} more" if len(names) > 5 else "")
