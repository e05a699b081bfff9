"""What a score does not depend on, and, as important, what it does."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import ndimage

from unet_edu import metrics
from unet_edu.metrics import em_scores

settings.register_profile("here", deadline=None, max_examples=60, derandomize=True)
settings.load_profile("here")

EM = ["pixel_error", "rand_error", "warping_error", "v_rand", "v_info"]
BY_ORDER = ["warping_error", "v_rand", "v_info"]  # ties are broken by column


@st.composite
def stacks(draw, levels=None):
    """Labels and probabilities of up to three slices; `levels` grey levels make ties, None makes none."""
    shape = draw(st.integers(1, 3)), draw(st.integers(3, 14)), draw(st.integers(3, 14))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    labels = rng.random(shape) < rng.uniform(0.4, 0.9)
    labels[:, 0, 0] = True
    probability = np.where(rng.random(shape) < 0.8, labels, rng.random(shape)) * 0.98
    if levels is None:
        spread = (rng.permutation(labels.size).reshape(shape) + 1) / (labels.size + 1)
        return labels, (0.9 * probability + 0.1 * spread).astype(np.float32)
    return labels, (np.round(probability * (levels - 1)) / (levels - 1)).astype(np.float32)


def close(a, b, names=EM):
    return all(a[name] == pytest.approx(b[name], abs=1e-12) for name in names)


@given(stacks(levels=5), st.integers(0, 2**32 - 1))
def test_names_of_cells_do_not_matter(stack, seed):
    labels, probability = stack
    cells = np.stack([ndimage.label(cell)[0] for cell in labels])
    names = np.append(0, 1 + np.random.default_rng(seed).permutation(cells.max()))
    assert close(em_scores(labels, probability), em_scores(names[cells], probability))


@given(stacks(levels=5), st.integers(0, 2**32 - 1))
def test_order_of_slices_does_not_matter(stack, seed):
    labels, probability = stack
    order = np.random.default_rng(seed).permutation(len(labels))
    assert close(em_scores(labels, probability), em_scores(labels[order], probability[order]))


@given(stacks(levels=5))
def test_pixel_and_rand_error_do_not_see_orientation(stack):
    labels, probability = stack
    scores = em_scores(labels, probability)
    for turn in (lambda x: x.transpose(0, 2, 1), lambda x: x[:, ::-1], lambda x: x[:, :, ::-1]):
        assert close(scores, em_scores(turn(labels), turn(probability)), ["pixel_error", "rand_error"])


@given(stacks())
def test_without_ties_warping_error_does_not_see_orientation(stack):
    """The order of visits is then the order of certainty. Thinning has ties of its own: distances are whole."""
    labels, probability = stack
    certainty = [np.abs(probability.astype(float) - t).astype(np.float32) for t in metrics.WARPING_THRESHOLDS]
    assume(all(np.unique(slice_).size == slice_.size for c in certainty for slice_ in c))
    turned = metrics.warping_error(labels.transpose(0, 2, 1), probability.transpose(0, 2, 1))
    assert metrics.warping_error(labels, probability) == turned


@pytest.mark.parametrize("name", BY_ORDER)
def test_with_ties_these_see_orientation(name):
    """The challenge's order is part of the score: by row instead of by column it is another number."""
    score, rng = getattr(metrics, name), np.random.default_rng(0)
    differ = 0
    for _ in range(20):
        labels, probability = rng.random((2, 20, 20)) < 0.3
        differ += score(labels, probability) != pytest.approx(score(labels.T, probability.T), abs=1e-12)
    assert differ > 0


@st.composite
def segmentations(draw):
    shape = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    truth = rng.integers(0, 5, shape)
    truth[0, 0] = 1
    found = np.where(rng.random(shape) < 0.8, truth, rng.integers(0, 5, shape))
    return truth, found, rng


@given(segmentations())
def test_cell_scores_see_neither_names_nor_orientation(case):
    truth, found, rng = case
    names, others = (np.append(0, 1 + rng.permutation(5)) for _ in range(2))
    assert metrics.seg(names[truth], others[found]) == pytest.approx(metrics.seg(truth, found))
    assert metrics.seg(truth.T, found.T) == pytest.approx(metrics.seg(truth, found))
    assert metrics.iou(truth.T, found.T) == metrics.iou(truth, found) == metrics.iou(found, truth)


@given(stacks(levels=5))
def test_ranges_and_perfection(stack):
    labels, probability = stack
    scores = em_scores(labels, probability)
    assert all(-1e-12 <= scores[name] <= 1 for name in EM)
    perfect = em_scores(labels, labels)
    assert close(perfect, {"pixel_error": 0, "rand_error": 0, "warping_error": 0}, EM[:3])


def test_any_kind_of_array_will_do():
    """Byte order as in a TIFF, read-only, not contiguous, lists and tensors: the same numbers."""
    rng = np.random.default_rng(0)
    labels = 255 * (rng.random((2, 9, 11)) < 0.7).astype(np.uint8)
    probability = np.where(rng.random(labels.shape) < 0.9, labels > 0, 0.5).astype(np.float32)
    expected = em_scores(labels, probability)
    frozen = labels.copy(), probability.copy()
    for array in frozen:
        array.flags.writeable = False
    views = (np.repeat(array, 2, axis=2)[:, :, ::2] for array in (labels, probability))
    big_endian = labels.astype(">u2"), probability.astype(">f4")
    tensors = torch.from_numpy(labels), torch.from_numpy(probability)
    for pair in (frozen, views, big_endian, tensors, (labels.tolist(), probability.tolist())):
        assert em_scores(*pair) == expected
