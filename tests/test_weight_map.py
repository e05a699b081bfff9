import time

import numpy as np
import pytest
from scipy import ndimage

from unet_edu.weight_map import (
    border_weights,
    class_frequencies,
    class_weights,
    nearest_distances,
    separate_touching,
    touching_pairs,
    weight_map,
)

EIGHT = np.ones((3, 3))


def cells(shape=(90, 110), count=9, seed=0):
    """Cells of a Voronoi diagram, some touching, some apart, some missing; ids with gaps."""
    rng = np.random.default_rng(seed)
    seeds = rng.random((count, 2)) * shape
    distances = np.linalg.norm(np.indices(shape)[:, None] - seeds.T[:, :, None, None], axis=0)
    nearest = distances.argmin(0)
    ids = rng.permutation(np.arange(2, 3 * count, 2))[:count]
    return np.where(distances.min(0) < 22, ids[nearest], 0)


def naive(instances, w0, sigma):
    """One distance transform per cell over the whole image, sorted."""
    distances = [ndimage.distance_transform_edt(instances != i) for i in np.unique(instances) if i]
    if len(distances) < 2:
        return np.zeros(instances.shape)
    d1, d2 = np.sort(distances, axis=0)[:2]
    return w0 * np.exp(-((d1 + d2) ** 2) / (2 * sigma**2))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("w0", "sigma"), [(10, 5), (50, 6), (1, 1), (10, 20)])
def test_equals_the_naive_version_everywhere(seed, w0, sigma):
    instances = cells(seed=seed)
    np.testing.assert_allclose(border_weights(instances, w0, sigma), naive(instances, w0, sigma), atol=1e-4)


def test_two_parallel_walls():
    """Between straight walls g apart d1 + d2 is g + 1 on every background pixel: Eq. 2 by hand."""
    instances = np.zeros((9, 20), int)
    instances[:, :6], instances[:, 10:] = 1, 2
    expected = 10 * np.exp(-(5**2) / 50)
    np.testing.assert_allclose(border_weights(instances)[:, 6:10], expected, rtol=1e-5)


def test_inside_a_cell_the_first_distance_is_zero():
    instances = np.zeros((5, 12), int)
    instances[:, :6], instances[:, 6:] = 3, 8
    np.testing.assert_allclose(border_weights(instances)[2, 3], 10 * np.exp(-(3**2) / 50), rtol=1e-5)


def test_fewer_than_two_cells():
    one = np.zeros((6, 7), np.uint8)
    assert not border_weights(one).any()
    one[2:4] = 5
    assert not border_weights(one).any()


def test_a_cell_in_several_pieces_is_one_cell():
    instances = np.zeros((5, 9), int)
    instances[:, :3], instances[:, 6:] = 4, 4
    assert not border_weights(instances).any()


@pytest.mark.parametrize("seed", range(6))
def test_no_two_cells_are_adjacent_after_separation(seed):
    separated = separate_touching(cells(seed=seed))
    for i in np.unique(separated)[1:]:
        around = ndimage.binary_dilation(separated == i, EIGHT)
        assert set(np.unique(separated[around])) <= {0, i}


@pytest.mark.parametrize("seed", range(6))
def test_only_pixels_that_touch_another_cell_are_lost(seed):
    instances = cells(seed=seed)
    separated = separate_touching(instances)
    lost = (instances > 0) & (separated == 0)
    assert lost.any()
    for y, x in np.argwhere(instances > 0):
        around = instances[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2]
        assert lost[y, x] == bool(set(np.unique(around)) - {0, instances[y, x]})
        if not lost[y, x]:
            assert separated[y, x] == instances[y, x]


def test_diagonal_neighbors_are_separated():
    instances = np.zeros((4, 4), np.uint16)
    instances[:2, :2], instances[2:, 2:] = 1, 2
    separated = separate_touching(instances)
    assert separated[1, 1] == separated[2, 2] == 0
    assert separated[0, 0] == 1
    assert separated.dtype == np.uint16


def test_a_cell_thinner_than_the_ridge_is_lost_and_others_are_not():
    instances = np.ones((5, 9), int)
    instances[:, 4:6], instances[:, 6:] = 2, 3
    assert set(np.unique(separate_touching(instances))) == {0, 1, 3}


def test_separation_leaves_lone_cells_and_its_input_alone():
    instances = np.zeros((6, 12), int)
    instances[1:4, 1:4], instances[1:4, 5:9] = 1, 2  # a gap of one pixel
    before = instances.copy()
    assert np.array_equal(separate_touching(instances), before)
    separate_touching(np.array([[1, 2]]))
    assert np.array_equal(instances, before)


def test_classes_have_equal_totals_over_the_training_set():
    rng = np.random.default_rng(0)
    images = [rng.choice(3, (20, 30), p=p) for p in ([0.8, 0.1, 0.1], [0.2, 0.5, 0.3])]
    frequencies = np.bincount(np.concatenate([i.ravel() for i in images])) / 1200
    weights = [class_weights(i, frequencies) for i in images]
    totals = [sum(w[i == k].sum() for w, i in zip(weights, images, strict=True)) for k in range(3)]
    np.testing.assert_allclose(totals, 400, rtol=1e-5)
    assert weights[0].dtype == np.float32


def test_unknown_pixels_have_no_weight():
    classes = np.array([[0, 1, -1]])
    assert class_weights(classes, [0.75, 0.25]).tolist() == [[pytest.approx(2 / 3), 2.0, 0.0]]
    assert class_weights(classes, [3, 1])[0, 1] == 2.0  # counts serve as well
    instances = np.array([[1, 0, 2]])
    known = np.array([[True, False, True]])
    assert weight_map(instances, known=known)[0, 1] == 0
    assert weight_map(instances, known=known)[0, 0] > 1


def test_weight_map_is_the_sum_of_its_terms():
    instances = cells()
    balance = class_weights((instances > 0).astype(int), [0.6, 0.4])
    expected = balance + border_weights(instances, 7, 3)
    np.testing.assert_allclose(weight_map(instances, w0=7, sigma=3, frequencies=[0.6, 0.4]), expected, rtol=1e-6)
    np.testing.assert_allclose(weight_map(instances), 1 + border_weights(instances), rtol=1e-6)


def test_faster_than_the_naive_version():
    """Many small cells in a large image; the benchmark measures the ratio properly."""
    instances = np.zeros((768, 768), int)
    for i, (y, x) in enumerate(np.argwhere(np.ones((8, 8)))):
        instances[96 * y + 10 : 96 * y + 40, 96 * x + 10 : 96 * x + 40] = i + 1
    started = time.perf_counter()
    fast = border_weights(instances)
    middle = time.perf_counter()
    np.testing.assert_allclose(fast, naive(instances, 10, 5), atol=1e-4)
    assert time.perf_counter() - middle > 5 * (middle - started)


def test_ids_far_apart_cost_nothing():
    instances = cells().astype(np.uint32)
    far = np.where(instances > 0, instances + 3_000_000_000, 0).astype(np.uint32)
    np.testing.assert_array_equal(border_weights(far), border_weights(instances))
    full = np.array([[4_000_000_000, 7]], np.uint32)  # and no background
    np.testing.assert_array_equal(border_weights(full), border_weights(np.array([[1, 2]])))


def test_boolean_classes_have_weights():
    assert class_weights(np.array([[True, False]]), [0.8, 0.2]).tolist() == [[2.5, 0.625]]


def test_bad_arguments():
    with pytest.raises(ValueError, match="not empty"):
        border_weights(np.zeros((0, 3), int))
    with pytest.raises(TypeError, match="float64"):
        border_weights(np.zeros((3, 3)))
    with pytest.raises(ValueError, match=r"\(3,\): must be \(H, W\)"):
        separate_touching(np.zeros(3, int))
    with pytest.raises(ValueError, match="ids >= 0"):
        weight_map(np.full((3, 3), -1))
    with pytest.raises(ValueError, match="sigma=0"):
        border_weights(np.zeros((3, 3), int), sigma=0)
    with pytest.raises(ValueError, match=r"class \[1\] never occurs"):
        class_weights(np.zeros((3, 3), int), [1.0, 0.0])
    with pytest.raises(ValueError, match="must be -1 to 1"):
        class_weights(np.full((3, 3), 2), [0.5, 0.5])


def test_no_border_without_w0():
    instances = np.repeat([[1, 0, 2]], 3, 0)
    assert not border_weights(instances, w0=0).any()


def test_maps_are_float32():
    instances = np.repeat([[1, 0, 2]], 3, 0)
    assert border_weights(instances).dtype == np.float32
    for options in ({}, {"frequencies": [1, 2]}, {"known": instances > 0}):
        assert weight_map(instances, **options).dtype == np.float32


def test_more_bad_arguments():
    with pytest.raises(TypeError, match=r"float64: ids are integers; use .astype\(int\)"):
        border_weights(np.zeros((3, 3)))
    with pytest.raises(ValueError, match="w0=-1"):
        border_weights(np.zeros((3, 3), int), w0=-1)
    with pytest.raises(ValueError, match="classes -2 to 0: must be -1 to 1"):
        class_weights(np.array([[0, -2]]), [0.5, 0.5])


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("diagonal", [True, False])
def test_touching_pairs_equal_the_naive_version(seed, diagonal):
    instances = cells(seed=seed)
    expected = set()
    for i in np.unique(instances)[1:]:
        around = ndimage.binary_dilation(instances == i, EIGHT if diagonal else None)
        expected |= {(min(i, j), max(i, j)) for j in np.unique(instances[around]) if j not in (0, i)}
    assert len(expected) > 2
    assert touching_pairs(instances, diagonal=diagonal).tolist() == sorted(map(list, expected))


@pytest.mark.parametrize("turned", range(4))
def test_corners_touch_only_diagonally(turned):
    instances = np.rot90([[0, 3, 0], [2, 0, 0], [0, 0, 9]], turned)
    assert touching_pairs(instances).tolist() == [[2, 3]]
    assert touching_pairs(instances, diagonal=False).tolist() == []
    beside = np.rot90([[4, 1, 0], [4, 1, 0], [0, 0, 7]], turned)
    assert touching_pairs(beside, diagonal=False).tolist() == [[1, 4]]
    assert touching_pairs(beside).tolist() == [[1, 4], [1, 7]]


def test_no_cells_touch_after_separation():
    assert len(touching_pairs(separate_touching(cells()))) == 0
    assert touching_pairs(np.zeros((1, 1), int)).shape == (0, 2)
    with pytest.raises(TypeError, match="ids are integers"):
        touching_pairs(np.zeros((2, 2)))


def test_class_frequencies_are_of_the_known_pixels_of_all_images():
    images = [np.array([[0, 0, 1, -1]]), np.array([[2], [0], [-1]])]
    assert class_frequencies(images, 3).tolist() == [3 / 5, 1 / 5, 1 / 5]
    assert class_frequencies(images, 4).tolist() == [3 / 5, 1 / 5, 1 / 5, 0]
    assert class_frequencies([np.array([[True, False]])], 2).tolist() == [0.5, 0.5]
    balanced = [class_weights(image, class_frequencies(images, 3)) for image in images]
    totals = [sum(w[i == k].sum() for w, i in zip(balanced, images, strict=True)) for k in range(3)]
    np.testing.assert_allclose(totals, 5 / 3, rtol=1e-6)


def test_bad_classes_have_no_frequencies():
    with pytest.raises(ValueError, match="classes 0 to 2: must be -1 to 1"):
        class_frequencies([np.array([[0, 2]])], 2)
    with pytest.raises(ValueError, match="classes -2 to 0: must be -1 to 1"):
        class_frequencies([np.array([[0, -2]])], 2)
    with pytest.raises(ValueError, match="no pixel is known"):
        class_frequencies([np.full((2, 2), -1)], 2)
    with pytest.raises(TypeError, match="classes of type float64: classes are integers"):
        class_frequencies([np.full((2, 2), 0.9)], 2)  # probabilities would pass for background


@pytest.mark.parametrize("reach", [5, 5.5])
def test_distances_are_exact_up_to_the_reach_and_with_it(reach):
    cells = np.zeros((1, 30), int)
    cells[0, 12], cells[0, 15] = 1, 2
    first, second = (np.abs(np.arange(30) - place) for place in (12, 15))
    wanted = np.minimum(first, second), np.maximum(first, second)
    for found, exact in zip(nearest_distances(cells, reach), wanted, strict=True):
        assert np.array_equal(found[0][exact <= reach], exact[exact <= reach])
