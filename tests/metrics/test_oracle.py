"""Every score of the EM challenge against what the challenge's own Java code returned for the same arrays."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from unet_edu import metrics
from unet_edu.metrics import Mistake

ORACLE = Path(__file__).parent.parent / "oracle"
REFERENCE = json.loads((ORACLE / "oracle.json").read_text())
CURVES = {
    "pixel_by_th": metrics.pixel_f_scores,
    "fr_rand_by_th": metrics.rand_f_scores,
    "vrand_thin_by_th": metrics.v_rand_scores,
    "vinfo_thin_by_th": metrics.v_info_scores,
}
SCORES = {
    "pixel_error": metrics.pixel_error,
    "fr_rand_error": metrics.rand_error,
    "warping_error_min_splits_mergers": metrics.warping_error,
    "vrand_thin_max": metrics.v_rand,
    "vinfo_thin_max": metrics.v_info,
}
NAMES = {
    "merge": Mistake.MERGE, "split": Mistake.SPLIT, "hole_add": Mistake.HOLE_ADDITION,
    "obj_del": Mistake.OBJECT_DELETION, "obj_add": Mistake.OBJECT_ADDITION, "hole_del": Mistake.HOLE_DELETION,
}  # fmt: skip


def check(labels, probability, expected):
    for name, curve in CURVES.items():
        wanted = np.array(expected[name], float)
        np.testing.assert_allclose(curve(labels, probability), wanted, rtol=0, atol=1e-12, err_msg=name)
    for name, score in SCORES.items():
        assert score(labels, probability) == pytest.approx(expected[name], abs=1e-12), name
    counts = metrics.warping_counts(labels, probability)
    found = [{short: count[kind] for short, kind in NAMES.items()} for count in counts]
    wanted = [{short: count[short] for short in NAMES} for count in expected["warping_pixels_by_th"]]
    assert found == wanted


@pytest.mark.parametrize(("name", "proposal"), [(n, p) for n in ("synth", "tiny") for p in REFERENCE[n]])
def test_drawn_slices(name, proposal):
    arrays, expected = np.load(ORACLE / f"{name}.npz"), REFERENCE[name][proposal]
    labels, probability = arrays["labels"], arrays[proposal]
    check(labels, probability, expected["stack"])
    for label, p, e in zip(labels, probability, expected["slices"], strict=True):
        check(label, p, e)


@pytest.mark.parametrize("proposal", REFERENCE["isbi2012"])
def test_real_slices(isbi2012, proposal):
    """Proposals made from the challenge's labels: blurred, shifted, without contrast, cut into ten steps."""
    for z, expected in REFERENCE["isbi2012"][proposal]["slices"].items():
        cells = isbi2012.classes[int(z)] > 0
        blurred = ndimage.gaussian_filter(cells.astype(float), 2).astype(np.float32)
        probability = {
            "a_label": cells,
            "b_blur2": blurred,
            "f_shift2": ndimage.shift(cells.astype(np.float32), 2, order=0, cval=1),
            "i_half": 0.25 + 0.5 * cells,
            "k_ones": np.ones(cells.shape),
            "l_tenths": np.floor(blurred * 10) / 10,
        }[proposal]
        check(cells, probability.astype(np.float32), expected)


@pytest.mark.parametrize("proposal", REFERENCE["synth"])
def test_pictures(proposal):
    """The thinned prediction, the warped truth and the kinds of mistakes, pixel by pixel, at the threshold 0.5."""
    inputs, pictures = np.load(ORACLE / "synth.npz"), np.load(ORACLE / "synth_images_05.npz")
    labels, probability = inputs["labels"], inputs[proposal]
    assert np.array_equal([metrics.thin(p > 0.5) for p in probability], pictures[f"{proposal}__thin"])
    assert np.array_equal(metrics.warp(labels, probability), pictures[f"{proposal}__warp"] > 0)
    assert np.array_equal(metrics.mistakes(labels, probability), pictures[f"{proposal}__cls"])
