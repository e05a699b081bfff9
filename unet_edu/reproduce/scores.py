"""How a job is scored: all slices held out as one stack for Table 1, one sequence for Table 2."""

import numpy as np

from unet_edu import metrics
from unet_edu.instances import from_probability

EM = "isbi2012", "synthetic-membranes"  # the others are cells


def scores(dataset, indices, probability):
    """The scores of a prediction, and those of each image.

    For membranes the five of the EM challenge: one threshold for all images, and of each image the pixels of all
    kinds of `Mistake` at 0.5. For cells SEG, over all true cells as the challenge takes it, and IOU over the
    known pixels, both at 0.5; and the SEG of each image.

    Parameters
    ----------
    dataset : Dataset
    indices : images that are predicted
    probability : of cell, one (H, W) each, in the same order

    Returns
    -------
    dict of scores, list of dict
    """
    return (_em if dataset.name in EM else _cells)(dataset, indices, probability)


def _em(dataset, indices, probability):
    labels = np.stack([dataset.classes[i] for i in indices]) > 0
    pixels = (metrics.mistakes(labels, np.stack(probability)) > 0).sum((1, 2))
    each = [{"image": i, "mistakes": int(count)} for i, count in zip(indices, pixels, strict=True)]
    return metrics.em_scores(labels, np.stack(probability)), each


def _cells(dataset, indices, probability):
    truth = [np.asarray(dataset.instances[i]) for i in indices]
    found = [from_probability(image) for image in probability]
    classes = np.concatenate([np.ravel(dataset.classes[i]) for i in indices])
    each = [
        {"image": i, "seg": metrics.seg(*pair), "cells": len(np.unique(pair[0])) - 1, "found": int(pair[1].max())}
        for i, pair in zip(indices, zip(truth, found, strict=True), strict=True)
    ]
    mask = np.concatenate([np.ravel(image) for image in found])
    return {"seg": metrics.seg(truth, found), "iou": metrics.iou(classes > 0, mask > 0, classes >= 0)}, each
