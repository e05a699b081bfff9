"""unet-edu evaluate: the scores of the paper's two tables, for predictions and labels in files."""

import numpy as np

from unet_edu import commands, folder, images, metrics
from unet_edu.progress import Progress

ENDING = {"em": "_probability", "cells": "_labels"}  # what `unet-edu predict` calls what each scores


def run(options):
    """Print a table of scores; with --out, write them as JSON too."""
    if not (options.predictions and options.labels):
        raise ValueError("name --predictions and --labels; or, for Table 1 of the paper, --test-labels")
    for name in ("weights", "rotations", "device"):
        if (value := getattr(options, name)) is not None:
            raise ValueError(f"--{name} {value}: only with --test-labels; otherwise for unet-edu predict")
    options.metrics = options.metrics or "cells"
    pairs, unlabeled, unpredicted = folder.match(options.predictions, options.labels, ENDING[options.metrics])
    if unlabeled:
        raise ValueError(f"no labels in {options.labels} for {folder.few(unlabeled)}; add them, or move the prediction")
    if unpredicted:
        commands.note(f"labels without a prediction, left out: {', '.join(unpredicted)}")
    rows = em(pairs, options) if options.metrics == "em" else cells(pairs, options)
    print(table(rows))
    if options.out:
        commands.write_json(options.out, {"metrics": options.metrics, "scores": rows})
    return 0


def em(pairs, options):
    """All scores of the EM challenge, of all slices as one stack."""
    if options.unknown is not None:
        raise ValueError(f"--unknown {options.unknown}: the EM challenge knows every pixel; leave it out")
    labels, probability = [], []
    for predicted, labeled in pairs.values():
        labels.append(images.read_stack(labeled))
        probability.append(certainty(predicted))
        if labels[-1].shape != probability[-1].shape:
            raise ValueError(f"{predicted}: {probability[-1].shape}, {labeled}: {labels[-1].shape}; they must agree")
        if labels[-1].shape[1:] != labels[0].shape[1:]:
            raise ValueError(f"{labeled}: {labels[-1].shape[1:]}, others {labels[0].shape[1:]}; score each size alone")
    return {"all": metrics.em_scores(np.concatenate(labels) > 0, np.concatenate(probability), progress=True)}


def certainty(path):
    """Probabilities (Z, H, W) of cell; whole numbers, as the challenge takes them too, are divided by their largest."""
    stack = images.read_stack(path)
    return stack / np.iinfo(stack.dtype).max if stack.dtype.kind == "u" else stack


def cells(pairs, options):
    """SEG and IOU of each image, and of all of them."""
    predicted = folder.read_labels([one for one, _ in pairs.values()], strict=False).instances
    labels = folder.read_labels([one for _, one in pairs.values()], unknown=options.unknown)
    rows = {}
    for i, name in enumerate(Progress(pairs, "scoring", "images")):
        if predicted[i].shape != labels.instances[i].shape:
            files = " and ".join(map(str, pairs[name]))
            raise ValueError(f"{files}: {predicted[i].shape} and {labels.instances[i].shape}; they must be the same")
        rows[name] = score([labels.instances[i]], [predicted[i]], [labels.known[i]])
    return {**rows, "all": score(labels.instances, predicted, labels.known)}


def score(truth, predicted, known):
    flat = (np.concatenate([image.ravel() for image in part]) for part in (truth, predicted, known))
    return {
        "seg": metrics.seg(truth, predicted),
        "iou": metrics.iou(*flat),
        "cells": sum(len(np.unique(image[image > 0])) for image in truth),
        "found": sum(len(np.unique(image[image > 0])) for image in predicted),
    }


def table(rows):
    """Rows of named values, right-aligned under their names."""
    names = list(next(iter(rows.values())))
    left = max(len(row) for row in rows)
    lines = [" " * left + "".join(f"{name:>15}" for name in names)]
    for row, values in rows.items():
        shown = (f"{value:.4f}" if isinstance(value, float) else str(value) for value in values.values())
        lines.append(f"{row:<{left}}" + "".join(f"{text:>15}" for text in shown))
    return "\n".join(lines)
