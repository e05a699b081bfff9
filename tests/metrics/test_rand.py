import numpy as np
import pytest
from scipy import ndimage
from skimage.metrics import adapted_rand_error

from unet_edu.metrics import rand_error, v_rand
from unet_edu.metrics.overlap import overlap
from unet_edu.metrics.rand import f_score, pair_counts, rand_f_scores

TWO = np.array([[1, 1, 1, 0, 2, 2, 2]])  # a membrane between two cells of three pixels


def test_overlap_by_hand():
    counts = overlap(np.array([[1, 1, 1, 0, 2, 2, 2]]), np.array([[4, 4, 0, 9, 9, 9, 0]]))
    assert counts.pixels == 6
    assert counts.cells.tolist() == [3, 3]
    assert sorted(counts.segments[counts.segments > 0].tolist()) == [1, 1, 2, 2]  # two single pixels of membrane
    assert sorted(counts.both.tolist()) == [1, 1, 2, 2]


def test_pairs_are_counted_one_by_one():
    """Against a loop over all pairs of pixels, where pixels lost to membrane are with themselves alone."""
    rng = np.random.default_rng(0)
    truth, found = rng.integers(0, 4, (2, 6, 7))
    inside = truth > 0
    a, b = truth[inside], found[inside]
    alone = np.where(b == 0, 100 + np.arange(b.size), b)
    in_truth, in_found = a[:, None] == a, alone[:, None] == alone
    expected = (in_truth & in_found).sum(), (~in_truth & in_found).sum(), (in_truth & ~in_found).sum()
    assert pair_counts(overlap(truth, found)) == expected
    assert f_score(*expected) == 2 * expected[0] / (in_truth.sum() + in_found.sum())


def test_what_a_merger_costs():
    """36 pairs are predicted together, of which 18 belong together: precision 1/2, recall 1, F = 2/3."""
    assert rand_error(TWO, np.array([[1, 1, 1, 0.95, 1, 1, 1]])) == pytest.approx(0)  # cut at 0.9999999
    assert rand_error(TWO, np.ones((1, 7))) == pytest.approx(1 / 3)
    assert v_rand(TWO, np.ones((1, 7))) == pytest.approx(2 / 3)


def test_what_a_split_costs():
    """A cell of seven pixels cut in its middle: 49 pairs, of which 9 + 9 + 1 stay together."""
    cut = np.array([[1, 1, 1, 0, 1, 1, 1]])
    assert rand_error(np.ones((1, 7)), cut) == pytest.approx(1 - 2 * 19 / (49 + 19))


def test_a_wide_membrane_costs_only_without_thinning():
    wide = np.array([[1, 1, 0, 0, 0, 1, 1]])
    assert v_rand(TWO, wide) == 1
    assert rand_error(TWO, wide) == pytest.approx(1 - 2 * (4 + 1 + 4 + 1) / (18 + 10))


def test_membrane_of_the_truth_does_not_count():
    assert rand_error(np.array([[1, 1, 0, 0]]), np.array([[1, 1, 1, 0]])) == 0
    assert rand_error(np.array([[1, 1, 0, 0]]), np.array([[1, 1, 0, 1]])) == 0


def test_cells_that_touch_at_a_corner_are_two():
    diagonal = np.eye(2)
    assert rand_error(diagonal, diagonal) == 0
    assert rand_error(diagonal, np.ones((2, 2))) == pytest.approx(1 - 2 * 2 / (2 + 4))


def test_the_error_pools_the_stack_and_the_score_averages_it():
    labels = np.zeros((2, 3, 30))
    labels[0, 0, :4] = labels[1] = 1
    found = labels.copy()
    found[0, 0, 1] = 0  # breaks the small cell into 1 + 2 pixels and a lost one; the large one is right
    f_small = 2 * 6 / (16 + 6)
    assert v_rand(labels, found) == pytest.approx((f_small + 1) / 2)
    assert rand_error(labels, found) == pytest.approx(1 - 2 * (6 + 90**2) / (16 + 6 + 2 * 90**2))


def test_one_threshold_serves_the_stack():
    labels = np.stack([TWO, TWO])
    probability = np.array([[[1, 1, 1, 0.55, 1, 1, 1]], [[0.5, 0.5, 0.5, 0, 0.5, 0.5, 0.5]]])
    assert [rand_error(x, p) for x, p in zip(labels, probability, strict=True)] == [0, 0]
    assert rand_error(labels, probability) > 0.1
    assert v_rand(labels, probability) < 0.9


def test_thresholds_of_both():
    curve = rand_f_scores(TWO, np.array([[1, 1, 1, 0.25, 1, 1, 1]]))
    assert [round(f, 6) for f in curve] == [round(2 / 3, 6)] * 3 + [1] * 8


def test_a_slice_without_cells():
    labels = np.stack([TWO, 0 * TWO])
    assert rand_error(labels, labels > 0) == 0
    with pytest.raises(ValueError, match=r"no cell pixel in slice \[1\].*leave it out"):
        v_rand(labels, labels > 0)
    with pytest.raises(ValueError, match="labels hold no cell pixel"):
        rand_error(0 * TWO, TWO > 0)


def test_agrees_with_scikit_image_where_they_mean_the_same():
    """adapted_rand_error also leaves out the truth's membrane, but pools lost pixels into one segment."""
    rng = np.random.default_rng(1)
    truth = ndimage.label(ndimage.gaussian_filter(rng.random((60, 60)), 2) > 0.5)[0]
    found = rng.integers(1, 5, truth.shape)  # nothing lost
    error, _, _ = adapted_rand_error(truth, found)
    assert 1 - f_score(*pair_counts(overlap(truth, found))) == pytest.approx(error, abs=0.01)
