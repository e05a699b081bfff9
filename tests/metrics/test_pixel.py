import numpy as np
import pytest

from unet_edu.metrics import THRESHOLDS, pixel_error
from unet_edu.metrics.pixel import pixel_f_scores


def test_thresholds_are_added_up():
    assert len(THRESHOLDS) == 11
    assert THRESHOLDS[3] == 0.30000000000000004
    assert THRESHOLDS[-1] == 0.9999999999999999


def test_threshold_is_exclusive_and_a_double():
    """float32(0.1) is a little more than the double 0.1, so it counts as a cell at the threshold 0.1."""
    labels = np.ones((1, 4), np.uint8)
    assert pixel_f_scores(labels, np.full((1, 4), 0.1, np.float32))[1] == 1
    assert pixel_f_scores(labels, np.full((1, 4), 0.1, np.float64))[1] == 0
    assert pixel_f_scores(labels, np.zeros((1, 4)))[0] == 0


def test_one_threshold_serves_the_stack():
    labels = np.array([[[1, 0]], [[1, 0]]])
    probability = np.array([[[0.9, 0.5]], [[0.4, 0.1]]])
    assert [pixel_error(label, p) for label, p in zip(labels, probability, strict=True)] == [0, 0]
    assert pixel_error(labels, probability) > 0


def test_bad_arguments():
    with pytest.raises(ValueError, match=r"\(2, 3\), probability \(3, 2\)"):
        pixel_error(np.ones((2, 3)), np.ones((3, 2)))
    with pytest.raises(ValueError, match="no cell pixel"):
        pixel_error(np.zeros((2, 3)), np.ones((2, 3)))
    with pytest.raises(ValueError, match="negative"):
        pixel_error(np.array([[1, -1]]), np.ones((1, 2)))
    with pytest.raises(ValueError, match="labels hold nan, negative or NaN"):
        pixel_error(np.array([[1, np.nan]]), np.ones((1, 2)))
    for wrong in (np.array([[0, 255]], np.uint8), np.array([[0.5, np.nan]]), np.array([[-0.1, 1]])):
        with pytest.raises(ValueError, match="divide 8-bit maps by 255"):
            pixel_error(np.ones((1, 2)), wrong)


def test_one_axis_is_refused():
    with pytest.raises(ValueError, match=r"must both be \(H, W\) or \(Z, H, W\)"):
        pixel_error(np.ones(3), np.ones(3))
