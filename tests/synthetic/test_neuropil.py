"""The drawn tissue: what its truth guarantees, and why it is neither trivial nor hopeless."""

from itertools import pairwise

import numpy as np
import pytest
from scipy import ndimage

from unet_edu.synthetic import membranes
from unet_edu.synthetic.neuropil import separate

# Small fields are the hard ones: a slice may hold one cell, or none of its borders.
SIZES_AND_SEEDS = [(32, 0), (32, 7), (33, 57), (47, 45), (64, 1), (128, 1), (256, 3), (301, 4)]


@pytest.fixture(scope="module")
def stack():
    return membranes(slices=8, size=256, seed=3)


def correlation(a, b):
    return np.corrcoef(a.ravel(), b.ravel())[0, 1]


def lowest_pixel_error(score, cells):
    """1 - F of the class cell at the threshold on `score` where F is largest."""
    counts = [2 * (cells & (score > t)).sum() / (cells.sum() + (score > t).sum()) for t in range(255)]
    return 1 - max(counts)


@pytest.mark.parametrize(("slices", "size"), [(1, 32), (2, 33), (3, 100), (12, 256)])
def test_shapes_and_types(slices, size):
    images, instances = membranes(slices, size)
    assert images.shape == instances.shape == (slices, size, size)
    assert images.dtype == np.uint8
    assert instances.dtype == np.int32
    assert instances.min() == 0


def test_defaults_are_twelve_slices_of_256():
    images, _ = membranes()
    assert images.shape == (12, 256, 256)


def test_the_seed_alone_decides(stack):
    np.random.seed(99)                          # noqa: NPY002  the global state must not matter
    again = membranes(slices=8, size=256, seed=3)
    np.testing.assert_array_equal(stack[0], again[0])
    np.testing.assert_array_equal(stack[1], again[1])


def test_the_global_random_state_is_left_alone():
    before = np.random.get_state()[1].copy()    # noqa: NPY002
    membranes(1, 32)
    np.testing.assert_array_equal(before, np.random.get_state()[1])     # noqa: NPY002


def test_another_seed_is_another_tissue():
    (a, truth_a), (b, truth_b) = membranes(1, 128, seed=1), membranes(1, 128, seed=2)
    assert abs(correlation(a, b)) < 0.15
    assert abs(correlation(truth_a > 0, truth_b > 0)) < 0.15


@pytest.mark.parametrize(("size", "seed"), SIZES_AND_SEEDS)
def test_an_id_is_one_profile_and_no_two_touch(size, seed):
    for truth in membranes(3, size, seed)[1]:
        component, n = ndimage.label(truth > 0)          # 4-connected
        ids = np.unique(truth[truth > 0])
        pairs = np.unique(np.stack([component[truth > 0], truth[truth > 0]]), axis=1)
        assert n == len(ids) == pairs.shape[1]          # the components of the cells are the ids, one to one


@pytest.mark.parametrize(("size", "seed"), SIZES_AND_SEEDS)
def test_share_of_membrane_is_that_of_real_slices(size, seed):
    for truth in membranes(4, size, seed)[1]:
        assert 0.17 <= (truth == 0).mean() <= 0.27


def test_profiles_differ_in_size_as_in_neuropil(stack):
    for truth in stack[1]:
        area = np.bincount(truth.ravel())[1:]
        area = area[area > 0]
        assert 20 <= len(area) <= 70                    # the challenge: 32 to 42 in so large a field
        assert np.percentile(area, 90) > 8 * np.percentile(area, 10)


def test_membranes_are_thin(stack):
    """Half of the membrane is within 3 px of a cell; only where synapses are it is thicker."""
    for truth in stack[1]:
        depth = ndimage.distance_transform_edt(truth == 0)[truth == 0]
        assert np.median(depth) <= 3
        assert (depth > 8).mean() < 0.05


def test_neighbouring_slices_show_the_same_tissue(stack):
    images, instances = stack
    blurred = [ndimage.gaussian_filter(image.astype(float), 2) for image in images]
    near = [correlation(blurred[z], blurred[z + 1]) for z in range(7)]
    far = [correlation(blurred[z], blurred[z + 5]) for z in range(3)]
    assert min(near) > max(far) + 0.1
    assert max(near) < 0.9                              # but not the same slice again
    same = [((a == b) & (a > 0)).sum() / (a > 0).sum() for a, b in pairwise(instances)]
    assert min(same) > 0.6                              # a neurite keeps its id


def test_the_later_half_has_more_grain(stack):
    roughness = [ndimage.laplace(image.astype(float)).std() for image in stack[0]]
    assert min(roughness[4:]) > 1.5 * max(roughness[:4])


def test_membrane_is_dark_where_the_truth_says(stack):
    for image, truth in zip(*stack, strict=True):
        image = image.astype(float)
        assert image[truth == 0].mean() < image[truth > 0].mean() - 30
        contrast = [image[np.roll(truth, k, axis=1) == 0].mean() for k in (-4, 0, 4)]
        assert contrast[1] < min(contrast[0], contrast[2]) - 15     # a truth moved by 4 px no longer fits


def test_a_threshold_does_not_solve_it(stack):
    images, instances = stack
    cells = instances > 0
    assert lowest_pixel_error(255 * cells - 1, cells) == 0          # the truth itself
    assert lowest_pixel_error(images, cells) > 0.07
    smoothed = np.stack([ndimage.gaussian_filter(image.astype(float), 1.5) for image in images])
    assert lowest_pixel_error(smoothed, cells) > 0.04               # nor does removing the grain first


def test_cells_contain_organelles_as_dark_as_membrane(stack):
    for image, truth in zip(*stack, strict=True):
        inner = ndimage.distance_transform_edt(truth > 0) > 6
        surroundings = ndimage.gaussian_filter(image.astype(float), 4)      # of vesicles, this sees none
        assert (surroundings[inner] < image[truth == 0].mean() + 5).mean() > 0.008


def test_a_border_is_cut_where_the_membrane_is_thinner_than_a_pixel():
    owner = np.repeat([[0, 1]], 32, axis=1) * np.ones((64, 1), int)         # two neurites, side by side
    ratio = np.repeat(np.linspace(0, 5, 64)[:, None], 64, axis=1)           # no membrane between them
    instances, _ = separate(owner, ratio)
    assert ndimage.label(instances > 0)[1] == 2
    assert set(np.unique(instances)) == {0, 1, 2}


@pytest.mark.parametrize(("arguments", "message"), [
    ({"slices": 0}, "slices=0: must be at least 1; use 1 or more"),
    ({"size": 31}, "size=31: must be at least 32; use 32 or more"),
    ({"seed": -1}, "seed=-1: must be at least 0; use 0 or more"),
])
def test_value_errors_name_value_rule_and_remedy(arguments, message):
    with pytest.raises(ValueError, match=message):
        membranes(**arguments)


@pytest.mark.parametrize("arguments", [{"slices": 2.0}, {"size": "64"}, {"seed": None}, {"slices": True}])
def test_only_integers(arguments):
    with pytest.raises(TypeError, match="must be an integer"):
        membranes(**arguments)


def test_numpy_integers_are_integers():
    images, _ = membranes(np.int64(1), np.int32(32), np.uint8(5))
    np.testing.assert_array_equal(images, membranes(1, 32, 5)[0])
    np.testing.assert_array_equal(membranes(np.uint8(1), np.uint8(200))[0], membranes(1, 200)[0])  # margins exceed 255
