"""The data sets of the paper and synthetic stand-ins, behind one interface.

Real data is never part of this library: `fetch` brings it from its publisher, and every file is
verified by the SHA-256 of its pixels, so that a re-compressed copy passes and an altered one does not.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
from scipy import ndimage

from unet_edu import cell_tracking, folder, synthetic
from unet_edu import images as image_files
from unet_edu.resources import data_path
from unet_edu.weight_map import class_frequencies, touching_pairs

Images = Sequence[np.ndarray] | np.ndarray  # of several images: a list, or one array (images, H, W)

REAL = json.loads(data_path("manifest.json").read_text(encoding="utf-8"))
NAMES = (*REAL, "synthetic-membranes", "synthetic-cells")


@dataclass(frozen=True)
class Dataset:
    """Images with their truth.

    Attributes
    ----------
    name : as given to `load`
    origin : one sentence on where the images come from
    images : one (H, W) array an image
    classes : one (H, W) integer array an image, 0 .. num_classes - 1, -1 = unknown
    instances : one (H, W) integer array an image, 0 = background, one id per cell
    groups : (images,) integers; images of one group are never split between training and scoring
    pixels_sha256 : SHA-256 of the images' raw pixels, in order
    num_classes : number of classes
    gap : images this close to a held-out one are not trained on either: neighbouring slices of a stack
        show the same tissue
    folds : into how many parts the set is split unless said otherwise
    terms : what the images may be used for
    scale, offset : integer images become (image - offset) / scale before a network sees them, unless said otherwise
    files : name of each image, if they come from files of one's own
    """

    name: str
    origin: str
    images: Images
    classes: Images
    instances: Images
    groups: np.ndarray
    pixels_sha256: str
    num_classes: int = 2
    gap: int = 0
    folds: int = 3
    terms: str = ""
    scale: float = 255.0
    offset: float = 0.0
    files: tuple[str, ...] = ()

    def split(self, fold: int | None, folds: int | None = None) -> tuple[list[int], list[int]]:
        """Indices of the images to train on, and of those held out.

        Fold k of n holds out every n-th group, beginning with the k-th; n is `folds`, None: the set's own.
        Fold None holds out nothing.
        Raises ValueError for a fold outside 0 .. folds - 1, or one that leaves nothing on either side.
        """
        everything = range(len(self.images))
        folds = self.folds if folds is None else folds
        if fold is None:
            return list(everything), []
        if folds < 2:
            raise ValueError(f"folds={folds}: a part to train on and one to score take 2 or more")
        if not 0 <= fold < folds:
            raise ValueError(f"fold={fold}: must be 0 to {folds - 1}, or None to hold out nothing")
        number = np.unique(self.groups, return_inverse=True)[1]  # 0, 1, ... whatever the groups are called
        out = [i for i in everything if number[i] % folds == fold]
        train = [i for i in everything if all(abs(i - o) > self.gap for o in out)]
        if not (train and out):
            count = len(set(self.groups))
            remedy = f"use 2 to {count} folds" if 1 < count < folds else "add groups, or images to the groups"
            raise ValueError(f"folds={folds}: {count} groups with a gap of {self.gap} cannot be split so; {remedy}")
        return train, out


def load(name: str, root: str | os.PathLike | None = None) -> Dataset:
    """Load a data set.

    Parameters
    ----------
    name : "isbi2012" (30 slices of 512 x 512, in six blocks of five), "phc-u373" (34 frames of 520 x 696)
        and "dic-hela" (18 frames of 512 x 512), each of two sequences and annotated in part; made on the spot
        from a seed: "synthetic-membranes" (12 slices of 256 x 256, in six blocks of two) and "synthetic-cells"
        (12 frames of 256 x 256, in two sequences of six)
    root : folder that holds a folder `name`; None looks in $UNET_EDU_DATA, then in the cache

    Returns
    -------
    Dataset

    Raises
    ------
    ValueError : an unknown name, or a file that is truncated or altered
    FileNotFoundError : a real set that is not there; never replaced by another one
    """
    _check_name(name)
    if name == "synthetic-membranes":
        return _synthetic_membranes()
    if name == "synthetic-cells":
        return _synthetic_cells()
    return (_isbi2012 if name == "isbi2012" else _cells)(name, find(name, root))


def challenge_stack(name: str, root: str | os.PathLike | None = None) -> np.ndarray:
    """The images (Z, H, W) that a challenge published without their truth.

    "isbi2012": the 30 slices of the stack on which Table 1 was scored; "synthetic-membranes": four more drawn ones.
    ValueError for a set that has none; otherwise as `load`.
    """
    if name == "synthetic-membranes":
        return synthetic.membranes(slices=4, size=256, seed=1)[0]
    if name != "isbi2012":
        raise ValueError(f"{name!r} has no images without truth; 'isbi2012' and 'synthetic-membranes' have")
    return verified(find(name, root) / "test-volume.tif", REAL[name]["files"]["test-volume.tif"], name)


def from_folder(images: str | os.PathLike, labels: str | os.PathLike, *, unknown: int | None = None) -> Dataset:
    """A data set of one's own: a folder of gray images, and one of label images of the same names.

    Every image is a group of its own, and up to five folds hold out one or more each. Of integer images the mean
    gray value is seen as 0, and what is bright (the 99.9th percentile of the image where that is largest) as 1:
    12 bits in a 16-bit file are not black then, and frames that are gray all over teach more than their gray.

    Parameters
    ----------
    images : folder of TIFF, PNG or Zarr images, or one file; of one type, such as uint16. Floats should be in 0 .. 1
    labels : folder of label images, see `folder.read_labels`: "cell7.tif" is labeled by "cell7.tif" or .png, or
        "cell7_mask.tif", or with another of `folder.ENDINGS`
    unknown : value of the pixels whose truth is not known

    Returns
    -------
    Dataset

    Raises
    ------
    FileNotFoundError, ValueError : files that cannot be read or have no partner, images of several types or of another
        size than their labels, gray values without contrast or that are floats far outside 0 .. 1
    """
    pairs, unlabeled, imageless = folder.match(images, labels)
    if unlabeled or imageless:
        raise ValueError(
            f"{images} and {labels}: no labels for {folder.few(unlabeled)}; no image for {folder.few(imageless)};"
            " name them alike, or move them elsewhere"
        )
    paths, label_paths = zip(*pairs.values(), strict=True)
    grays = [np.array(image_files.read_gray(path)) for path in paths]  # copied: every map keeps a file open
    truth = folder.read_labels(label_paths, unknown=unknown)
    for path, gray, instances in zip(paths, grays, truth.instances, strict=True):
        if gray.shape != instances.shape:
            raise ValueError(f"{path}: {gray.shape}, its labels are {instances.shape}; height and width must agree")
        if gray.dtype != grays[0].dtype:
            raise ValueError(f"{path}: {gray.dtype}, {paths[0]}: {grays[0].dtype}; save all in one type, as uint16")
    brightest = max(grays, key=image_files.level)
    bright, offset = image_files.level(brightest), 0.0
    if problem := image_files.problem(brightest, bright):
        raise ValueError(f"{images}: {problem}")
    if np.issubdtype(brightest.dtype, np.integer):
        offset = float(np.average([gray.mean() for gray in grays], weights=[gray.size for gray in grays]))
        if bright <= offset:
            raise ValueError(
                f"{images}: no contrast: gray values up to about {bright:g}, on average {offset:g};"
                " some pixels must be brighter than others; check exposure and export"
            )
    where = Path(images).resolve().name
    return Dataset(
        name=f"folder {where}",
        origin=f"{len(grays)} images of the folder {where}; labels: {truth.kind}",
        images=grays,
        classes=[np.where(k, i > 0, -1).astype(np.int8) for i, k in zip(truth.instances, truth.known, strict=True)],
        instances=truth.instances,
        groups=np.arange(len(grays)),
        pixels_sha256=pixels_sha256(grays),
        folds=min(len(grays), 5),
        scale=bright - offset,
        offset=offset,
        files=tuple(pairs),
    )


def card(dataset: Dataset) -> dict:
    """The seven figures that describe a data set.

    Returns
    -------
    dict that fits JSON: "images" ("count" and "by_group", in the order of the groups), "sizes" ([H, W] of
    every size there is), "cells" ("min", "median", "max" of an image), "unknown" (share of all pixels),
    "touching_pairs" (cells of one image that are 8-adjacent), "class_frequencies" (shares of the known
    pixels) and "terms"
    """
    cells = [len(np.unique(instances[instances > 0])) for instances in dataset.instances]
    known = np.concatenate([np.ravel(classes) >= 0 for classes in dataset.classes])
    return {
        "images": {"count": len(dataset.images), "by_group": np.unique(dataset.groups, return_counts=True)[1].tolist()},
        "sizes": [list(size) for size in sorted({np.shape(image)[-2:] for image in dataset.images})],
        "cells": {"min": min(cells), "median": float(np.median(cells)), "max": max(cells)},
        "unknown": float(1 - known.mean()),
        "touching_pairs": sum(len(touching_pairs(instances)) for instances in dataset.instances),
        "class_frequencies": class_frequencies(dataset.classes, dataset.num_classes).tolist(),
        "terms": dataset.terms,
    }


def available(name: str, root: str | os.PathLike | None = None) -> bool:
    """Whether `load` would find files of this set; they are not verified."""
    _check_name(name)
    return name not in REAL or any(_holds(place, name) for place in _places(root))


def find(name: str, root: str | os.PathLike | None = None) -> Path:
    """Folder of a real set: in `root`, else in $UNET_EDU_DATA or the cache; FileNotFoundError if nowhere."""
    places = _places(root)
    for place in places:
        if _holds(place, name):
            return place / name
    raise FileNotFoundError(
        f"{name} is not in {' or '.join(map(str, places))}; run: unet-edu data fetch {name}, "
        "or set UNET_EDU_DATA to the folder that holds it"
    )


def cache_dir() -> Path:
    """Where `fetch` keeps data unless told otherwise: $XDG_CACHE_HOME/unet-edu or ~/.cache/unet-edu."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "unet-edu"


def verified(path: Path, expected: dict, name: str | None = None) -> np.ndarray:
    """Pixels of a TIFF file that must be as published, in shape, type and every value.

    Raises FileNotFoundError if it is missing, ValueError if it is truncated or another one; both say what
    to run if `name` says which real set it is part of.
    """
    remedy = f"; run: unet-edu data fetch {name}" if name else ""
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing{remedy}")
    try:
        pixels = tifffile.imread(path)
    except Exception as error:
        raise ValueError(f"{path} cannot be read, perhaps cut short ({error}){remedy}") from error
    if [*pixels.shape] != expected["shape"] or str(pixels.dtype) != expected["dtype"]:
        raise ValueError(
            f"{path} is {pixels.dtype} {pixels.shape}, published: {expected['dtype']} {expected['shape']}{remedy}"
        )
    if (found := pixels_sha256([pixels])) != expected["pixels_sha256"]:
        raise ValueError(
            f"{path} was altered: its pixels have SHA-256 {found[:12]}..., "
            f"published: {expected['pixels_sha256'][:12]}...{remedy}"
        )
    return pixels


def pixels_sha256(images) -> str:
    """SHA-256 of the raw pixels of arrays, one after the other, each in C order."""
    digest = hashlib.sha256()
    for image in images:
        digest.update(np.ascontiguousarray(image).tobytes())
    return digest.hexdigest()


def _isbi2012(name: str, folder: Path) -> Dataset:
    images, labels = (
        verified(folder / file, REAL[name]["files"][file], name) for file in ("train-volume.tif", "train-labels.tif")
    )
    cells = labels > 0
    return Dataset(
        name=name,
        origin=REAL[name]["title"],
        images=images,
        classes=cells.astype(np.int8),
        instances=np.stack([ndimage.label(cell)[0] for cell in cells]),  # 4-connected, slice by slice
        # Blocks, because neighbouring slices leak; fold k takes blocks k and k + 3, one from each half,
        # because the second half of the stack is about twice as noisy as the first.
        groups=np.arange(30) // 5,
        pixels_sha256=pixels_sha256([images]),
        gap=1,
        terms=REAL[name]["terms"],
    )


def _cells(name: str, folder: Path) -> Dataset:
    files = REAL[name]["files"]
    frames = cell_tracking.frames(files)

    def read(part: str) -> list[np.ndarray]:
        paths = (part.format(sequence=sequence, frame=frame) for sequence, frame in frames)
        return [verified(folder / path, files[path], name) for path in paths]

    images, labels, markers, silver = map(read, cell_tracking.PARTS)
    instances = [label.astype(np.int32) for label in labels]
    return Dataset(
        name=name,
        origin=REAL[name]["title"],
        images=images,
        classes=cell_tracking.classes(instances, markers, silver),
        instances=instances,
        groups=np.array([int(sequence) - 1 for sequence, _ in frames]),
        pixels_sha256=pixels_sha256(images),
        folds=2,  # the challenge scores each sequence for itself
        terms=REAL[name]["terms"],
        **_contrast(images),
    )


def _synthetic_membranes() -> Dataset:
    images, instances = synthetic.membranes(slices=12, size=256, seed=0)
    origin = "Synthetic: drawn by unet_edu.synthetic.membranes with seed 0; no tissue"
    return _drawn("synthetic-membranes", origin, images, instances, groups=np.arange(12) // 2, gap=1)


def _synthetic_cells() -> Dataset:
    sequences = [synthetic.cells(frames=6, size=256, seed=seed) for seed in (0, 1)]
    images, instances = (np.concatenate(parts) for parts in zip(*sequences, strict=True))
    origin = "Synthetic: two sequences drawn by unet_edu.synthetic.cells with seeds 0 and 1; no culture"
    contrast = _contrast(images)
    return _drawn("synthetic-cells", origin, images, instances, groups=np.arange(12) // 6, folds=2, **contrast)


def _contrast(images) -> dict:
    """Offset and scale that bring gray values to mean 0 and standard deviation 1/4.

    Frames of cultured cells are gray with a contrast of a few percent. Divided by 255 alone they teach a network
    its biases first, and with momentum 0.99 its last units are dead before it has seen a cell.
    """
    values = np.concatenate([np.ravel(image) for image in images])
    return {"offset": float(np.round(values.mean(), 1)), "scale": float(np.round(4 * values.std(), 1))}


def _drawn(name, origin, images, instances, **protocol) -> Dataset:
    return Dataset(
        name=name,
        origin=origin,
        images=images,
        classes=(instances > 0).astype(np.int8),
        instances=instances,
        pixels_sha256=pixels_sha256([images]),
        terms="Free: drawn by this library.",
        **protocol,
    )


def _holds(place: Path, name: str) -> bool:
    return any((place / name / file).exists() for file in REAL[name]["files"])


def _places(root) -> list[Path]:
    if root is not None:
        return [Path(root)]
    named = os.environ.get("UNET_EDU_DATA")
    if named and not Path(named).is_dir():  # a slip of the pen must not turn into other data
        raise FileNotFoundError(f"UNET_EDU_DATA={named}: no such folder; correct it or unset it")
    return [Path(named), cache_dir()] if named else [cache_dir()]


def _check_name(name: str) -> None:
    if name not in NAMES:
        raise ValueError(f"name={name!r}: must be one of {', '.join(NAMES)}")
