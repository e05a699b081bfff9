import numpy as np
import pytest
from skimage.metrics import variation_of_information

from unet_edu.metrics import information, v_info
from unet_edu.metrics.information import information_f_score, v_info_scores
from unet_edu.metrics.overlap import Overlap, overlap

TWO = np.array([[1, 1, 1, 0, 2, 2, 2]])


def test_entropies_by_hand():
    """Two cells of equal size, one of them split in halves: H = 1 and 1.5 bit, shared 1 bit."""
    truth, found = np.array([[1, 1, 1, 1, 2, 2, 2, 2]]), np.array([[1, 1, 1, 1, 2, 2, 3, 3]])
    assert information_f_score(overlap(truth, found)) == pytest.approx(2 * 1 / (1 + 1.5))


def test_lost_pixels_are_segments_of_their_own():
    truth, found = np.array([[1, 1, 2, 2]]), np.array([[1, 1, 0, 0]])
    assert information_f_score(overlap(truth, found)) == pytest.approx(2 * 1 / (1 + 1.5))


def test_relation_to_variation_of_information():
    """2 I / (H + H') = 1 - VI / (H + H'), with scikit-image's VI."""
    truth, found = np.random.default_rng(0).integers(1, 5, (2, 20, 20))
    vi = sum(variation_of_information(truth, found)) * np.log(2)
    entropy = sum(-np.sum(p * np.log(p)) for p in (np.bincount(x.ravel())[1:] / 400 for x in (truth, found)))
    assert information_f_score(overlap(truth, found)) == pytest.approx(1 - vi / entropy)


def test_one_cell_has_no_entropy():
    assert v_info(np.ones((3, 4)), np.ones((3, 4))) == 0
    assert v_info(TWO, np.ones((1, 7))) == 0


def test_a_threshold_without_a_score_is_passed_over(monkeypatch):
    """The challenge's rule. It takes cells and segments that share nothing, which one slice cannot show."""
    independent = Overlap(4, np.array([2, 2]), np.array([2, 2]), np.array([1, 1, 1, 1]))
    assert np.isnan(information_f_score(independent))
    scores = iter([0.9, np.nan, 0.4, 0.6, *[0.2, 0.2] * 9])  # of two slices at each threshold
    monkeypatch.setattr(information, "information_f_score", lambda counts: next(scores))
    assert v_info(np.stack([TWO, TWO]), np.stack([TWO, TWO]) > 0) == 0.5
    monkeypatch.setattr(information, "information_f_score", lambda counts: np.nan)
    assert np.isnan(v_info_scores(TWO, TWO > 0)).all()
    assert v_info(TWO, TWO > 0) == 0


def test_perfect_and_worse():
    wide = np.array([[1, 1, 0, 0, 0, 1, 1]])
    assert v_info(TWO, TWO > 0) == v_info(TWO, wide) == pytest.approx(1)
    assert v_info(TWO, np.array([[1, 0, 1, 0, 1, 1, 1]])) < 0.9


def test_bad_arguments():
    with pytest.raises(ValueError, match=r"no cell pixel in slice \[0\]"):
        v_info(np.stack([0 * TWO, TWO]), np.stack([TWO, TWO]) / 2)
    with pytest.raises(ValueError, match="divide 8-bit maps by 255"):
        v_info(TWO, 100 * TWO)
