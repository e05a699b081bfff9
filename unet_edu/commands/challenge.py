"""unet-edu evaluate --test-labels: a row of Table 1, for a network or for predictions, beside the paper's row."""

import numpy as np
from scipy import ndimage

from unet_edu import ablations, commands, datasets, images, metrics, paper
from unet_edu.commands.evaluate import certainty, table
from unet_edu.instances import of_cell
from unet_edu.progress import Progress
from unet_edu.resources import data_path
from unet_edu.tiling import predict

KEPT = "weights/isbi2012.safetensors"  # the small network that travels with the library
DECIMALS = {"warping_error": 6, "rand_error": 4, "pixel_error": 4, "v_rand": 5, "v_info": 5}  # as the boards have
SPECK, SPECKS = 3, 1.0  # pixels of a speck; how many a slice may have: people's labels 0.1, networks' 4 to 26


def run(options):
    """Print the five scores beside those of the paper's network and of a human; with --out, write them as JSON too."""
    for name in ("labels", "unknown", *(["weights", "rotations", "device"] if options.predictions else [])):
        if (value := getattr(options, name)) is not None:
            other = "--test-labels" if name in ("labels", "unknown") else "--predictions"
            raise ValueError(f"--{name} {value}: has no meaning beside {other}; leave it out")
    if options.metrics == "cells":
        raise ValueError("--metrics cells: the test labels of the EM challenge have the scores em; leave it out")
    labels, sha256 = read_test_labels(options.test_labels)
    print(f"truth: {options.test_labels}, right in shape, type and values; more cannot be checked, as no hash of the"
          f" challenge's test labels was published (these pixels: SHA-256 {sha256[:12]}...)", flush=True)  # fmt: skip
    found, origin = read_predictions(options.predictions) if options.predictions else predicted(options)
    print(f"predictions: {origin}", flush=True)
    scores = metrics.em_scores(labels, found, progress=True)
    network, board = paper.TABLE1["u-net"], paper.LATER_BOARD["u-net"]
    rows = {"here": scores, "u-net, the paper": {**network, **board}, "human, the paper": paper.TABLE1["human"]}
    shown = {row: {name: f"{values[name]:.{places}f}" if name in values else "-" for name, places in DECIMALS.items()}
             for row, values in rows.items()}  # fmt: skip
    print(table(shown))
    print("v_rand and v_info of u-net are not the paper's: the challenge's board showed them later")
    if options.out:
        commands.write_json(options.out, {"metrics": "em", "scores": {"all": scores}, "predictions": origin,
                                          "test_labels_sha256": sha256})  # fmt: skip
    return 0


def read_test_labels(path):
    """The truth of the challenge's test slices, (Z, H, W) boolean, and the SHA-256 of its pixels.

    No hash of these pixels was ever published, so only what cannot be labels of these slices is refused: another
    shape, more than two values, inverted ones, those of the training slices. A note is printed if they look like
    the output of a network: several such files circulate as "test labels".

    Raises
    ------
    FileNotFoundError, ValueError : as `images.read_stack`, and as above
    """
    expected, stack = tuple(published("test-volume.tif")["shape"]), images.read_stack(path)
    values = np.unique(stack)
    if stack.shape != expected:
        raise ValueError(f"{path}: {stack.shape}, the test slices are {expected}; use test-labels.tif of {archive()}")
    if stack.dtype.kind not in "uib" or len(values) != 2 or values[0] != 0:
        held = f"{values[:4]} and others" if len(values) > 4 else f"{values}"
        raise ValueError(f"{path}: {stack.dtype} with the values {held}; labels are integers, 0 = membrane and one"
                         " other value = cell; predictions go to --predictions")  # fmt: skip
    cells = stack > 0
    if cells.mean() < 0.5:
        raise ValueError(f"{path}: {cells.mean():.0%} are not 0, of this tissue about 78 % are cell; invert the labels")
    if datasets.pixels_sha256([np.uint8(255) * cells]) == published("train-labels.tif")["pixels_sha256"]:
        raise ValueError(f"{path}: the labels of the training slices; use test-labels.tif of {archive()}")
    if (count := specks(cells)) > SPECKS:
        commands.note(f"warning: {path}: {count:.1f} specks of up to {SPECK} pixels a slice; labels drawn by people"
                      " have about 0.1; this looks like a network's output, and the scores below are void if it is")
    return cells, datasets.pixels_sha256([stack])


def specks(cells):
    """Mean number, of the slices (Z, H, W), of 8-connected pieces of cell or membrane of up to `SPECK` pixels."""
    pieces = (ndimage.label(part, np.ones((3, 3)))[0] for one in cells for part in (one, ~one))
    return sum(int((np.bincount(piece.ravel())[1:] <= SPECK).sum()) for piece in pieces) / len(cells)


def read_predictions(path):
    """Probabilities of cell (Z, H, W) from a file, and where they are from; ValueError for those of other slices."""
    found, expected = certainty(path), tuple(published("test-volume.tif")["shape"])
    if found.shape != expected:
        raise ValueError(f"{path}: {found.shape}, the test slices are {expected}; give the probability of cell of each"
                         " slice, all in one file")  # fmt: skip
    return found, str(path)


def predicted(options):
    """Probabilities of cell (Z, H, W) of the test slices by a network, and which network it is."""
    path, rotations = options.weights or data_path(KEPT), options.rotations or 7
    slices = datasets.challenge_stack("isbi2012")
    model = ablations.load(path).to(commands.device(options.device))
    found = [of_cell(predict(model, image, rotations=rotations)) for image in Progress(slices, "predicting", "slices")]
    summary = model.card.get("summary", f"base width {model.base_channels}, nothing known of its training")
    return np.stack(found), f"{path}, {summary}; mean of {rotations} rotations (the paper: base width 64, 7)"


def published(file):
    """Shape, type and pixel hash of a file of the EM challenge."""
    return datasets.REAL["isbi2012"]["files"][file]


def archive():
    return datasets.REAL["isbi2012"]["archive"]
