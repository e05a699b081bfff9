import time

import numpy as np
import pytest

from unet_edu.metrics import iou, jaccard_of_cells, seg


def frame(*boxes):
    """(10, 12) frame with one cell a box: rows and columns from, to."""
    cells = np.zeros((10, 12), int)
    for cell, (top, bottom, left, right) in enumerate(boxes, 1):
        cells[top:bottom, left:right] = cell
    return cells


LEFT, RIGHT = (2, 8, 2, 6), (2, 8, 6, 10)  # 24 pixels each, touching
TOUCHING = frame(LEFT, RIGHT)


def test_perfect_whatever_the_names():
    assert seg(TOUCHING, TOUCHING) == 1
    assert seg(TOUCHING, np.array([0, 7, 3])[TOUCHING]) == 1


def test_merged_touching_cells():
    """Every pixel of the foreground is right; no cell is: the merger covers each, at half of its own size."""
    merged = (TOUCHING > 0).astype(int)
    assert iou(TOUCHING, merged) == 1
    assert seg(TOUCHING, merged) == 0.5
    assert jaccard_of_cells(TOUCHING, merged) == [0.5, 0.5]


def test_a_small_cell_merged_into_a_large_one():
    truth = frame((0, 10, 0, 9), (0, 10, 9, 12))
    assert jaccard_of_cells(truth, np.ones((10, 12), int)) == [90 / 120, 30 / 120]


def test_exactly_half_is_no_match():
    half = frame((2, 5, 2, 6))
    assert seg(frame(LEFT), half) == 0
    assert seg(frame(LEFT), frame((2, 6, 2, 6))) == 16 / 24


def test_a_cell_split_in_halves_is_lost():
    halves = frame((2, 5, 2, 6), (5, 8, 2, 6))
    assert iou(frame(LEFT), halves) == 1
    assert seg(frame(LEFT), halves) == 0


def test_false_positives_cost_nothing():
    assert seg(frame(LEFT), TOUCHING) == 1
    assert iou(frame(LEFT), TOUCHING) == 0.5


def test_missed_cells_count():
    assert seg(TOUCHING, frame(LEFT)) == 0.5
    assert seg(TOUCHING, np.zeros((10, 12), int)) == 0


def test_the_union_counts_all_of_the_match():
    assert seg(frame(LEFT), frame((0, 10, 2, 6))) == 24 / 40


def test_a_sequence_is_pooled_over_cells_not_frames():
    truth, found = [TOUCHING, frame(LEFT)], [TOUCHING, np.zeros((10, 12), int)]
    assert seg(truth, found) == 2 / 3
    assert seg(np.stack(truth), np.stack(found)) == 2 / 3
    assert seg([*truth, np.zeros((5, 5), int)], [*found, np.ones((5, 5), int)]) == 2 / 3


def test_ids_may_be_anything_positive():
    assert seg(TOUCHING * 1000, TOUCHING.astype(np.uint16) * 30000) == 1


@pytest.mark.parametrize("kind", [np.uint16, ">u2", np.uint64])
def test_every_cell_by_the_definition(kind):
    rng = np.random.default_rng(0)
    truth = np.kron(rng.integers(0, 9, (6, 7)), np.ones((5, 5), int))
    found = np.where(rng.random(truth.shape) < 0.55, truth, rng.integers(0, 9, truth.shape))
    expected = []
    for cell in range(1, 9):
        overlaps = [((truth == cell) & (found == s), (truth == cell) | (found == s)) for s in range(1, 9)]
        matches = [a.sum() / b.sum() for a, b in overlaps if a.sum() > (truth == cell).sum() / 2]
        expected.append(matches[0] if matches else 0)
    assert 0 in expected
    assert jaccard_of_cells(truth.astype(kind), found.astype(kind)) == expected


def test_many_cells_take_no_longer_than_few():
    """A cell every other pixel; a pass over the image for each would take minutes."""
    truth = np.zeros((1000, 1000), np.int32)
    truth[::2, ::2] = 1 + np.arange(250_000).reshape(500, 500)
    start = time.perf_counter()
    assert seg(truth, truth) == 1
    assert time.perf_counter() - start < 20


def test_iou_leaves_unknown_pixels_out():
    known = np.ones((10, 12), bool)
    known[:, 6:] = False
    assert iou(TOUCHING, frame(LEFT), known) == 1
    assert iou(TOUCHING, frame(LEFT)) == 0.5
    assert iou(frame(LEFT), TOUCHING, known) == 1
    assert iou(np.where(known, TOUCHING, -1), frame(LEFT), known) == 1  # as in `Dataset.classes`


def test_bad_arguments():
    with pytest.raises(ValueError, match="must have the same shapes"):
        seg(TOUCHING, TOUCHING.T)
    with pytest.raises(ValueError, match="must have the same shapes"):
        seg([TOUCHING], [TOUCHING, TOUCHING])
    with pytest.raises(TypeError, match="predicted of type float64: ids are integers"):
        seg(TOUCHING, TOUCHING / 2)
    with pytest.raises(ValueError, match="ids >= 0"):
        seg(-TOUCHING, TOUCHING)
    with pytest.raises(ValueError, match=r"instances of shape \(10,\)"):
        seg(TOUCHING[:, 0], TOUCHING[:, 0])
    with pytest.raises(ValueError, match="hold no cell"):
        seg(0 * TOUCHING, TOUCHING)
    with pytest.raises(ValueError, match="instances of length 0: no frame at all"):
        seg([], [])
    with pytest.raises(ValueError, match="predicted of length 0: no frame at all"):
        seg(TOUCHING, TOUCHING[:0])
    with pytest.raises(ValueError, match="must have the same shapes"):
        jaccard_of_cells(TOUCHING, TOUCHING.T)
    with pytest.raises(TypeError, match="instances of type bool"):
        jaccard_of_cells(TOUCHING > 0, TOUCHING)
    with pytest.raises(ValueError, match="must be the same"):
        iou(TOUCHING, TOUCHING.T)
    with pytest.raises(ValueError, match="known .* must be the same"):
        iou(TOUCHING, TOUCHING, np.ones((3, 3)))
    with pytest.raises(ValueError, match="mark unknown pixels in `known`"):
        iou(TOUCHING - 1, TOUCHING)
    with pytest.raises(ValueError, match="negative values or NaN"):
        iou(TOUCHING, np.where(TOUCHING > 0, np.nan, 0))
    with pytest.raises(ValueError, match="neither mask nor predicted"):
        iou(0 * TOUCHING, 0 * TOUCHING)
